/* Deliveries and audit rows as people and programs read them. Pure. */
#ifndef BUSBAR_API_JSON_H
#define BUSBAR_API_JSON_H

#include "store.h"

struct json_object;

/* gives. held_reason NULL: not held */
struct json_object *api_delivery(const struct delivery *delivery, const char *held_reason);
/* Adds body, message, request and response. */
void api_delivery_details(struct json_object *object, const struct delivery *delivery);
struct json_object *api_audit(const struct audit *audit); /* gives */

#endif
