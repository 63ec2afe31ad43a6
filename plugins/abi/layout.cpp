// The same checks as C++, so that both languages see one layout.
#include "plugins/abi/layout.c"
