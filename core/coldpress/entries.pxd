# C types for entries.py; the plain Python file is complete without them.
cimport cython

from coldpress.table cimport SwapTable


cdef class Entries:
    cdef readonly SwapTable table
    cdef readonly object policy
    cdef readonly list types
    cdef readonly list pool_types
    cdef readonly list counts
    cdef readonly object device_type
    cdef readonly int device_tag
    cdef readonly object shadow_type
    cdef readonly int shadow_tag
    cdef readonly unsigned long long clock
    cdef unsigned long long[::1] _clean

    @cython.locals(old="unsigned long long", warm=bint)
    cpdef publish(self, Py_ssize_t slot, int tag, unsigned long long payload)
    @cython.locals(old="unsigned long long", shadow="unsigned long long")
    cpdef bint empty(self, Py_ssize_t slot) except *
    @cython.locals(place="unsigned long long")
    cpdef bint drop_clean(self, Py_ssize_t slot) except *
    cdef _to_device(self, Py_ssize_t slot, unsigned long long word, unsigned long long place)
    @cython.locals(tag=int, payload="unsigned long long", place="unsigned long long")
    cdef bint _retire(self, Py_ssize_t slot, unsigned long long word) except *
