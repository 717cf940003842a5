# Compiled as it is: no type is needed to make the calls cheaper.
