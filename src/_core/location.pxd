# A URL that may stand in a Location field.

cdef bytes location_of(bytes url)                      # None: malformed
