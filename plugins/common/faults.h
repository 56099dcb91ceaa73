/* What is wrong with a body, all of it: each fault by its JSON Pointer, for programs (rejected_fields) and in one
 * sentence for people. Everything lives in the memory of the job. */
#ifndef PLUGINS_COMMON_FAULTS_H
#define PLUGINS_COMMON_FAULTS_H

#include <busbar/plugin.h>

struct json_object;

struct pl_faults {
    const struct bb_host *host;
    struct bb_job *job;
    struct pl_fault_told *first, *last;
    const char *text;     /* for people; NULL: nothing is wrong */
    const char *identity; /* key of the first that names what the target does not know, or NULL */
    size_t count;
};

/* parameters: takes, NULL: none. The sentence goes on after the pointer: "must hold 3 to 3000 characters". */
void pl_fault(struct pl_faults *faults, const char *pointer, const char *key, struct json_object *parameters,
              const char *sentence);
void pl_fault_identity(struct pl_faults *faults, const char *pointer, const char *key, const char *sentence);
/* The pointer of a member: pointer, '/' and the escaped name. */
const char *pl_pointer_to(const struct pl_faults *faults, const char *pointer, const char *name);
/* The member at pointer is one that no one knows; told with the nearest known one. */
void pl_fault_member(struct pl_faults *faults, const char *pointer, const char *name, const char *const *known,
                     size_t count);
/* All such members of an object. */
void pl_fault_unknown(struct pl_faults *faults, struct json_object *object, const char *pointer,
                      const char *const *known, size_t count);
/* Fills out->error (identity where one is, else validation) and answers BB_REJECT. */
enum bb_next pl_reject_faults(const struct pl_faults *faults, struct bb_out *out, const char *code,
                              const char *subject);
/* Fills out->error and answers the verdict. */
enum bb_next pl_fail(struct bb_out *out, enum bb_next verdict, enum bb_class error_class, const char *code,
                     const char *message);

#endif
