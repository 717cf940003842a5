# C types for zbudpool.py; the plain Python file is complete without them.
cimport cython
from coldpress_plugins.allocators.grouped cimport GroupedLists

cdef Py_ssize_t CHUNKS
cdef Py_ssize_t USABLE

@cython.final
cdef class ZbudPool:
    cdef readonly Py_ssize_t page_size
    cdef readonly Py_ssize_t objects
    cdef readonly Py_ssize_t pool_bytes
    cdef Py_ssize_t _chunk
    cdef Py_ssize_t _handles
    cdef object _mapping
    cdef object _view
    cdef object _zeros
    cdef unsigned char[::1] _chunks
    cdef GroupedLists _lists

    @cython.locals(length=Py_ssize_t, chunks=Py_ssize_t, room=Py_ssize_t, page=Py_ssize_t,
                   handle=Py_ssize_t, at=Py_ssize_t)
    cpdef Py_ssize_t alloc(self, data, Py_ssize_t owner=*) except? -2
    @cython.locals(at=Py_ssize_t)
    cpdef bytes read(self, Py_ssize_t handle, Py_ssize_t length)
    @cython.locals(start=Py_ssize_t)
    cpdef copy_into(self, Py_ssize_t handle, Py_ssize_t length, out, Py_ssize_t at)
    @cython.locals(page=Py_ssize_t, chunks=Py_ssize_t, buddy=Py_ssize_t, at=Py_ssize_t,
                   size=Py_ssize_t)
    cpdef free(self, Py_ssize_t handle)

    @cython.locals(chunks=Py_ssize_t, size=Py_ssize_t, page=Py_ssize_t)
    cdef Py_ssize_t _where(self, Py_ssize_t handle, Py_ssize_t length) except -1
