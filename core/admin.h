/* The admin listener: who may speak to it, and the way from a request to the API and back. */
#ifndef BUSBAR_ADMIN_H
#define BUSBAR_ADMIN_H

struct web_request;

/* A web_handler; context is the struct api. With http.admin_token it, or a viewer's, must be sent as a bearer token;
 * without one the listener is on loopback, and a browser on the same machine must not be made to speak for a stranger's
 * page. */
void admin_handle(void *api, struct web_request *request);

#endif
