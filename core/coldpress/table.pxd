# C types for table.py; the plain Python file is complete without them.

cdef class SwapTable:
    cdef readonly Py_ssize_t slots
    cdef readonly unsigned long long[::1] words

    cpdef unsigned long long get(self, Py_ssize_t slot) except? 0xFFFFFFFFFFFFFFFF
    cpdef put(self, Py_ssize_t slot, unsigned long long word)
    cpdef bint compare_exchange(self, Py_ssize_t slot, unsigned long long expected, unsigned long long word) except *
