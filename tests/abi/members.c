/* SPDX-License-Identifier: Apache-2.0 */
/* Where the members of the frozen header lie, and its values, as a compiler has them. */
#include "plugin-1.h"

#include "members.h"

BB_EXPORT extern const struct abi_member abi_1_members[];
const struct abi_member abi_1_members[] = {
#include "members.def"
    {NULL, 0, 0, 0}};
