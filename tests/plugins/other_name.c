/* SPDX-License-Identifier: Apache-2.0 */
/* The good one in a file of another name. */
#include "good.c"
