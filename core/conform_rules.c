/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_private.h"

static const struct conform_rule rules[RULES + 1] = {
    [RULE_FILE] = {"file", "a shared object for this kind of machine, that can be read"},
    [RULE_LIBRARY] = {"library", "what it calls is in itself, or in libraries of every machine where it is to run"},
    [RULE_VERSION] = {"version", "it is built on the oldest system where it is to run"},
    [RULE_EXPORT] = {"export", "busbar_plugin alone is exported: compile with -fvisibility=hidden"},
    [RULE_DESCRIPTOR] = {"descriptor", "a descriptor as the header says"},
    [RULE_OPEN] = {"open", "open takes these settings; give those that it needs as NAME=VALUE"},
    [RULE_CRASH] = {"crash", "whatever comes from outside, the call returns"},
    [RULE_BOUNDS] =
        {"bounds", "a slice is read to its len: it has no NUL at its end; host->alloc() memory is written to the bytes "
                   "that were asked for"},
    [RULE_BORROWED] = {"borrowed",
                       "what came in is only read, and copied to host->alloc() memory to be kept for the next call"},
    [RULE_LIFETIME] = {"lifetime", "what goes out is static, of this instance or from host->alloc()"},
    [RULE_IO] = {"io", "the core does all input and output, waits and asks the time"},
    [RULE_TIME] = {"time", "a call takes less than 10 ms"},
    [RULE_VERDICT] = {"verdict",
                      "every answer ends in BB_SEND, BB_DONE, BB_RETRY, BB_REJECT or BB_HOLD (decode: BB_DONE "
                      "or BB_REJECT); host->judge knows each status"},
    [RULE_REFUSED] = {"refused", "what the target refused is not done: answer as host->judge does"},
    [RULE_ERROR] = {"error", "BB_RETRY, BB_REJECT and BB_HOLD come with an error: class, code and message"},
    [RULE_REQUEST] = {"request", "a request that can be sent as it is: a method, a path that starts with / and is "
                                 "percent-encoded, headers of one line"},
    [RULE_ENDLESS] = {"endless", "a conversation ends; 64 requests are the most"},
    [RULE_SETTLE] = {"settle", "each message of a batch is settled once at most, by its place in the batch"},
    [RULE_STRIDE] = {"stride", "messages are walked with in->message_size, not with sizeof"},
    [RULE_EVENT] = {"event", "an event has its size and a type that is known, or a name"},
    [RULE_NOTE] = {"note", "host functions take what the header says"},
    [RULE_TEXT] = {"text", "text is UTF-8"},
    [RULE_GLOBALS] = {"globals", "all that changes lives in self or in the job; the time is in->now_ms"},
    [RULE_LEAK] = {"leak", "what a call allocates is freed when it returns, or comes from host->alloc()"},
};

const struct conform_rule *conform_rules(void)
{
    return rules;
}
