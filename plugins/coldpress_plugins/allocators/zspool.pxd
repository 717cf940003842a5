# C types for zspool.py; the plain Python file is complete without them.
cimport cython
from coldpress_plugins.allocators.grouped cimport GroupedLists

cdef Py_ssize_t GROUPS
cdef Py_ssize_t FRESH
cdef Py_ssize_t HANDLE_MASK

@cython.final
cdef class ZsPool:
    cdef readonly Py_ssize_t page_size
    cdef readonly Py_ssize_t objects
    cdef readonly Py_ssize_t pool_bytes
    cdef Py_ssize_t _extent
    cdef object _mapping
    cdef object _view
    cdef object _zeros
    cdef unsigned long long[::1] _words
    cdef unsigned int[::1] _size
    cdef unsigned int[::1] _bytes
    cdef unsigned int[::1] _capacity
    cdef unsigned char[::1] _class_of_length
    cdef unsigned char[::1] _class
    cdef unsigned short[::1] _inuse
    cdef unsigned short[::1] _free
    cdef unsigned int[::1] _links
    cdef GroupedLists _lists
    cdef Py_ssize_t _handles
    cdef Py_ssize_t _bits
    cdef Py_ssize_t _mask
    cdef unsigned int[::1] _low
    cdef unsigned char[::1] _high
    cdef Py_ssize_t _fresh_handle
    cdef Py_ssize_t _free_handle

    @cython.locals(length=Py_ssize_t, number=Py_ssize_t, handle=Py_ssize_t, group=Py_ssize_t,
                   zspage=Py_ssize_t, at=Py_ssize_t, high=Py_ssize_t)
    cpdef Py_ssize_t alloc(self, data, Py_ssize_t owner=*) except? -2
    @cython.locals(at=Py_ssize_t)
    cpdef bytes read(self, Py_ssize_t handle, Py_ssize_t length)
    @cython.locals(start=Py_ssize_t)
    cpdef copy_into(self, Py_ssize_t handle, Py_ssize_t length, out, Py_ssize_t at)
    @cython.locals(row=Py_ssize_t, zspage=Py_ssize_t, number=Py_ssize_t, group=Py_ssize_t)
    cpdef free(self, Py_ssize_t handle)
    @cython.locals(zspage=Py_ssize_t, number=Py_ssize_t, capacity=Py_ssize_t, size=Py_ssize_t,
                   start=Py_ssize_t)
    cpdef zspage(self, Py_ssize_t handle)
    @cython.locals(before=Py_ssize_t, number=Py_ssize_t)
    cpdef Py_ssize_t compact(self) except? -2

    @cython.locals(high=Py_ssize_t, row=Py_ssize_t)
    cdef Py_ssize_t _row(self, Py_ssize_t handle) except -1
    cdef int _set_row(self, Py_ssize_t handle, Py_ssize_t row) except -1
    @cython.locals(row=Py_ssize_t, zspage=Py_ssize_t, number=Py_ssize_t, size=Py_ssize_t, at=Py_ssize_t)
    cdef Py_ssize_t _where(self, Py_ssize_t handle, Py_ssize_t length) except -1
    @cython.locals(index=Py_ssize_t, fresh=Py_ssize_t, at=Py_ssize_t)
    cdef Py_ssize_t _enter(self, Py_ssize_t zspage, Py_ssize_t number, Py_ssize_t name) except -1
    @cython.locals(at=Py_ssize_t, size=Py_ssize_t)
    cdef int _leave(self, Py_ssize_t zspage, Py_ssize_t number, Py_ssize_t index) except -1
    @cython.locals(inuse=Py_ssize_t, capacity=Py_ssize_t)
    cdef Py_ssize_t _group(self, Py_ssize_t zspage, Py_ssize_t number) except? -2
    @cython.locals(to=Py_ssize_t)
    cdef int _relist(self, Py_ssize_t zspage, Py_ssize_t number, Py_ssize_t group) except -1
    cdef int _release(self, Py_ssize_t zspage, Py_ssize_t number) except -1
    @cython.locals(start=Py_ssize_t, stop=Py_ssize_t, capacity=Py_ssize_t, room=Py_ssize_t,
                   group=Py_ssize_t, zspage=Py_ssize_t, target=Py_ssize_t, source=Py_ssize_t)
    cdef int _compact_class(self, Py_ssize_t number) except -1
    @cython.locals(size=Py_ssize_t, capacity=Py_ssize_t, index=Py_ssize_t, at=Py_ssize_t,
                   to=Py_ssize_t, header="unsigned long long")
    cdef int _move(self, Py_ssize_t source, Py_ssize_t target, Py_ssize_t number) except -1
