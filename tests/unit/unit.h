/* cmocka with what it wants included before it. */
#ifndef BUSBAR_UNIT_H
#define BUSBAR_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
