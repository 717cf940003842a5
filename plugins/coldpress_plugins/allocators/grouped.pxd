# C types for grouped.py; the plain Python file is complete without them.
cimport cython

@cython.final
cdef class GroupedLists:
    cdef unsigned int[::1] _links
    cdef unsigned int[::1] _heads
    cdef Py_ssize_t _stride

    @cython.locals(links="unsigned int[::1]", at=Py_ssize_t, head=Py_ssize_t)
    cpdef push(self, Py_ssize_t number, Py_ssize_t group)
    @cython.locals(links="unsigned int[::1]", at=Py_ssize_t, after=Py_ssize_t, before=Py_ssize_t)
    cpdef drop(self, Py_ssize_t number, Py_ssize_t group)
    @cython.locals(head=Py_ssize_t)
    cpdef Py_ssize_t first(self, Py_ssize_t group) except? -2
    @cython.locals(after=Py_ssize_t)
    cpdef Py_ssize_t after(self, Py_ssize_t number) except? -2
    @cython.locals(heads="unsigned int[::1]", group=Py_ssize_t)
    cpdef Py_ssize_t lowest(self, Py_ssize_t start, Py_ssize_t stop) except? -2
    @cython.locals(heads="unsigned int[::1]", group=Py_ssize_t)
    cpdef Py_ssize_t highest(self, Py_ssize_t start, Py_ssize_t stop) except? -2
