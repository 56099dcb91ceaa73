/* A tree of templates: what the `body:` of a route becomes for each message.
 *
 * Compiled to a list of ready JSON text with holes: rendering copies the text and fills the holes, and
 * builds no tree. Pure; any thread. */
#ifndef BUSBAR_BODY_H
#define BUSBAR_BODY_H

#include "template.h"
#include "yaml.h"

struct body;

/* names as for template_compile; uses: the union of what the templates use. Problems get the place
 * inside the scalar. NULL when there was one. gives */
struct body *body_compile(const struct yaml_node *node, const struct template_names *names, unsigned *uses,
                          struct problems *problems);
void body_destroy(struct body *body); /* NULL is legal */
/* Appends minified JSON. 0, or -1 and a reason. */
int body_render(const struct body *body, const struct template_scope *scope, struct buf *out, struct buf *reason);
/* The constant parts, null in each hole. */
void body_outline(const struct body *body, struct buf *out);

/* A template that stands in a scalar; problems point at the placeholder. NULL when it does not compile. gives */
struct template *body_scalar(const struct yaml_node *node, const struct template_names *names,
                             struct problems *problems);

#endif
