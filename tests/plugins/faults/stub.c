/* SPDX-License-Identifier: Apache-2.0 */
/* What library.c and version.c are linked with, and do not find where they run. */
int gone(void);
int future(void);

int gone(void)
{
    return 1;
}

int future(void)
{
    return 1;
}
