#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an identity provider and the API behind it: tokens by OAuth2 client credentials (RFC 6749, 4.4), things for who has one.

    tests/sandbox/identity.py --key CLIENT_SECRET

Served: POST /token (client credentials as Basic or in the body, strict about the form and its type), POST /things (any JSON; a bearer token
that was given out, has not run out and was not taken back).

Control beside standin.py's
  POST /_control/config  {"expires_in": s, "key": .., "deaf": bool}   deaf: no token is good enough for /things
  POST /_control/revoke  all tokens so far are worth nothing
  GET  /_control/things | tokens
"""

import base64
import json
import time
import urllib.parse

from standin import Reply, StandIn, command_line, main_loop

CLIENT = "busbar edge"


class Identity(StandIn):
    adjustable = ("key", "expires_in", "deaf")

    def __init__(self, **options):
        super().__init__(**options)
        self.expires_in, self.deaf = 3600, False
        self.tokens, self.things = [], []
        self.control.update({
            ("GET", "tokens"): lambda request: self.listed(request, self.tokens),
            ("GET", "things"): lambda request: self.listed(request, self.things),
            ("POST", "revoke"): self.control_revoke})

    def handle(self, request):
        if (request.method, request.path) == ("POST", "/token"):
            return self.give(request)
        if (request.method, request.path) == ("POST", "/things"):
            return self.take(request)
        return Reply(404, {})

    def client_of(self, request, form):
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            client, _, secret = base64.b64decode(pair).decode().partition(":")
            return urllib.parse.unquote(client), urllib.parse.unquote(secret)
        return form.get("client_id"), form.get("client_secret")

    def give(self, request):
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return Reply(400, {"error": "invalid_request"})
        form = dict(urllib.parse.parse_qsl(request.body.decode(), strict_parsing=True))
        if form.get("grant_type") != "client_credentials":
            return Reply(400, {"error": "unsupported_grant_type"})
        if self.client_of(request, form) != (CLIENT, self.key):
            return Reply(401, {"error": "invalid_client"})
        token = {"text": f"tokentokentoken-{len(self.tokens) + 1}", "until": time.time() + self.expires_in, "scope": form.get("scope")}
        self.tokens.append(token)
        return Reply(200, {"access_token": token["text"], "token_type": "Bearer", "expires_in": self.expires_in})

    def take(self, request):
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        good = any(token["text"] == text and token["until"] > time.time() for token in self.tokens)
        if scheme != "Bearer" or not good or self.deaf:
            return Reply(401, {"error": "invalid_token", "you_sent": text})
        self.things.append(json.loads(request.body))
        return Reply(201, {"id": len(self.things), "with": text})

    def control_revoke(self, request):
        for token in self.tokens:
            token["until"] = 0
        return Reply(200, {})


def main():
    parser = command_line("A stand-in for an identity provider and an API behind it.")
    parser.add_argument("--key", default="client-secret", help="the client's secret")
    main_loop(Identity(**vars(parser.parse_args())), name="identity")


if __name__ == "__main__":
    main()
