/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

const char *outcome_name(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_IGNORED:
        return "ignored";
    case OUTCOME_SUPPRESSED:
        return "suppressed";
    case OUTCOME_INVALID:
        return "invalid";
    case OUTCOME_DUPLICATE:
        return "duplicate";
    case OUTCOME_WAITING:
        return "waiting";
    case OUTCOME_ACCEPTED:
        return "accepted";
    }
    return "?";
}
