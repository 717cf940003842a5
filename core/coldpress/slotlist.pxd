# C types for slotlist.py; the plain Python file is complete without them.
cimport cython

cdef class SlotList:
    cdef readonly Py_ssize_t slots
    cdef readonly Py_ssize_t count
    cdef unsigned int[::1] _next
    cdef unsigned int[::1] _prev

    cpdef push_head(self, Py_ssize_t slot)
    cpdef push_tail(self, Py_ssize_t slot)
    cpdef push_behind(self, Py_ssize_t slot, Py_ssize_t neighbour)
    @cython.locals(after=Py_ssize_t, before=Py_ssize_t)
    cpdef bint remove(self, Py_ssize_t slot) except *
    @cython.locals(after=Py_ssize_t, before=Py_ssize_t)
    cpdef bint rename(self, Py_ssize_t slot, Py_ssize_t new) except *
    @cython.locals(last=Py_ssize_t)
    cpdef Py_ssize_t tail(self) except? -2
    cpdef bint has(self, Py_ssize_t slot) except *
    cpdef Py_ssize_t before(self, Py_ssize_t slot) except? -2
    @cython.locals(after=Py_ssize_t)
    cdef _link(self, Py_ssize_t slot, Py_ssize_t before)
