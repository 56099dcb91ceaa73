/* SPDX-License-Identifier: Apache-2.0 */
/* `busbar plugins new NAME`: a folder that compiles and whose case passes as it stands. In the texts
 * below @NAME@ stands for the plugin's name and @TITLE@ for the same as a title. */
#include "cmd.h"

#include "buf.h"
#include "cmd_plugins.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char source_text[] =
    "/* @TITLE@: translates between busbar and that system. See @NAME@.md; the rules are in busbar/plugin.h. */\n"
    "#include <busbar/plugin.h>\n"
    "\n"
    "#include <string.h>\n"
    "\n"
    "/* Filled from the target's options. The token is not here: the core adds it to each request. */\n"
    "struct config {\n"
    "    const char *site;\n"
    "};\n"
    "\n"
    "static const struct bb_option options[] = {\n"
    "    {\"token\", BB_SECRET, 0, NULL, BB_REQUIRED, \"API token of @TITLE@\"},\n"
    "    {\"site\", BB_STRING, offsetof(struct config, site), \"main\", 0, \"site that the work orders belong to\"},\n"
    "};\n"
    "\n"
    "static const struct bb_operation operations[] = {\n"
    "    {.name = \"work_order.create\", .help = \"Creates a work order\", .flags = BB_WRITES | BB_CREATES | "
    "BB_WORK_ORDER},\n"
    "};\n"
    "\n"
    "/* Outbound. The first call asks for a request to be sent, the second judges its response. */\n"
    "static enum bb_next step(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)\n"
    "{\n"
    "    const struct config *config = self;\n"
    "    if (in->response)\n"
    "        return host->judge(in->job, in->response, out);\n"
    "\n"
    "    const struct bb_str site = {config->site, strlen(config->site)};\n"
    "    out->request.method = \"POST\";\n"
    "    out->request.path = host->format(in->job, \"/sites/%s/work-orders\", host->path_segment(in->job, site));\n"
    "    out->request.body = in->messages[0].body;\n"
    "    return BB_SEND;\n"
    "}\n"
    "\n"
    "/* Inbound. One verified webhook becomes events on the bus. */\n"
    "static enum bb_next decode(const struct bb_host *host, void *self, const struct bb_in *in, struct bb_out *out)\n"
    "{\n"
    "    (void)self, (void)out;\n"
    "    const struct bb_message *message = &in->messages[0];\n"
    "    struct bb_event event = {0};\n"
    "    event.size = sizeof event;\n"
    "    event.name = host->format(in->job, \"%.*s\", (int)message->event.len, message->event.data);\n"
    "    event.raw = message->body;\n"
    "    host->emit(in->job, &event);\n"
    "    return BB_DONE;\n"
    "}\n"
    "\n"
    "static const char *const dedup_pointers[] = {\"/id\", NULL};\n"
    "\n"
    "BB_EXPORT extern const struct bb_plugin busbar_plugin;\n"
    "const struct bb_plugin busbar_plugin = {\n"
    "    .magic = BB_MAGIC,\n"
    "    .abi = BB_ABI,\n"
    "    .size = sizeof(struct bb_plugin),\n"
    "    .name = \"@NAME@\",\n"
    "    .title = \"@TITLE@\",\n"
    "    .version = \"0.1.0\",\n"
    "    .help = \"Creates work orders in @TITLE@ and passes its webhooks on.\",\n"
    "    .default_url = \"https://api.example.com\",\n"
    "    .config_size = sizeof(struct config),\n"
    "    .options = options,\n"
    "    .option_size = sizeof options[0],\n"
    "    .option_count = sizeof options / sizeof options[0],\n"
    "    .operations = operations,\n"
    "    .operation_size = sizeof operations[0],\n"
    "    .operation_count = sizeof operations / sizeof operations[0],\n"
    "    .auth = {.scheme = BB_AUTH_BEARER, .secret_option = \"token\"},\n"
    "    .hook = {.event_pointer = \"/event\",\n"
    "             .dedup_pointers = dedup_pointers,\n"
    "             .dedup_required = \"/id\",\n"
    "             .signature = {.header = \"X-Signature\", .sign_key = \"sha256=\", .signed_string = \"{body}\"}},\n"
    "    .step = step,\n"
    "    .decode = decode,\n"
    "};\n";

static const char page_text[] = "# @NAME@\n"
                                "\n"
                                "Speaks to @TITLE@.\n"
                                "\n"
                                "```yaml\n"
                                "targets:\n"
                                "  example:\n"
                                "    plugin: @NAME@\n"
                                "    token: ${file:/run/secrets/@NAME@-token}\n"
                                "    site: main\n"
                                "    webhook_secret: ${file:/run/secrets/@NAME@-hook}\n"
                                "    mode: write_back\n"
                                "```\n"
                                "\n"
                                "| operation | request | body |\n"
                                "|---|---|---|\n"
                                "| `work_order.create` | POST /sites/{site}/work-orders | as the route makes it |\n"
                                "\n"
                                "Webhooks: `X-Signature: sha256=<hex HMAC of the body>`; the event's name is at "
                                "`/event`, a redelivery has the same\n"
                                "`/id`. Each becomes `provider.@NAME@.<event>` on the bus.\n";

static const char case_text[] =
    "# Conversations with the plugin, run by: busbar plugins test ./@NAME@.so cases/*.case\n"
    "option token t0ken-of-the-tests\n"
    "option site North Hall\n"
    "\n"
    "case a work order is created\n"
    "operation work_order.create\n"
    "message {\"title\": \"Bearing hot\"}\n"
    "expect send POST /sites/North%20Hall/work-orders\n"
    "expect header Authorization: Bearer t0ken-of-the-tests\n"
    "expect body {\"title\": \"Bearing hot\"}\n"
    "respond 201 {\"id\": 7}\n"
    "expect done\n"
    "\n"
    "case an overloaded system is asked again later\n"
    "operation work_order.create\n"
    "message {\"title\": \"Bearing hot\"}\n"
    "expect send POST /sites/North%20Hall/work-orders\n"
    "respond 503\n"
    "respond header Retry-After: 60\n"
    "expect retry provider_unavailable http_503 after 60s\n"
    "\n"
    "case a webhook becomes an event\n"
    "decode {\"event\": \"finished\", \"id\": \"e-1\"}\n"
    "expect done\n"
    "expect event provider.@NAME@.finished {\"raw\": {\"id\": \"e-1\"}}\n";

static const char make_text[] =
    "# make, make test. BUSBAR_INCLUDE: where busbar/plugin.h is, when not in the compiler's own places.\n"
    "# LDLIBS: libraries that the plugin needs, such as -ljson-c.\n"
    "BUSBAR ?= busbar\n"
    "CFLAGS ?= -O2 -g -Wall -Wextra\n"
    "CPPFLAGS += $(if $(BUSBAR_INCLUDE),-I$(BUSBAR_INCLUDE))\n"
    "\n"
    "@NAME@.so: $(wildcard *.c *.h)\n"
    "\t$(CC) $(CPPFLAGS) $(CFLAGS) -std=c17 -fvisibility=hidden -shared -fPIC -o $@ $(filter %.c,$^) $(LDLIBS)\n"
    "\n"
    "test: @NAME@.so\n"
    "\t$(BUSBAR) plugins check ./@NAME@.so\n"
    "\t$(BUSBAR) plugins test ./@NAME@.so cases/*.case\n"
    "\n"
    "clean:\n"
    "\trm -f @NAME@.so\n"
    "\n"
    ".PHONY: test clean\n";

static bool is_name(const char *name)
{
    const size_t len = strlen(name);
    return len > 0 && len <= 64 && *name >= 'a' && *name <= 'z' && strcmp(name, "bus") != 0 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* acme_cmms becomes Acme cmms. */
static char *title_of(const char *name)
{
    char *title = mem_strdup(name);
    *title = (char)(*title - 'a' + 'A');
    for (char *c = title; *c; c++)
        if (*c == '_')
            *c = ' ';
    return title;
}

static void fill(struct buf *out, const char *text, const char *name, const char *title)
{
    for (const char *at = text; *at;) {
        if (strncmp(at, "@NAME@", 6) == 0) {
            buf_puts(out, name);
            at += 6;
        } else if (strncmp(at, "@TITLE@", 7) == 0) {
            buf_puts(out, title);
            at += 7;
        } else {
            buf_putc(out, *at++);
        }
    }
}

static int write_file(const char *path, const struct buf *text)
{
    FILE *file = fopen(path, "wx");
    if (!file)
        return -1;
    const size_t written = fwrite(text->data, 1, text->len, file);
    return fclose(file) == 0 && written == text->len ? 0 : -1;
}

int plugins_new(const char *name)
{
    if (!is_name(name))
        return cmd_usage(&cmd_plugins, "a plugin's name is made of lower-case letters, digits and _");
    char *cases cleanup_text = mem_printf("%s/cases", name);
    if (mkdir(name, 0777) != 0 || mkdir(cases, 0777) != 0) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
        return CMD_NO;
    }
    const struct {
        const char *path, *text;
    } files[] = {{"@NAME@/@NAME@.c", source_text},
                 {"@NAME@/@NAME@.md", page_text},
                 {"@NAME@/cases/@NAME@.case", case_text},
                 {"@NAME@/Makefile", make_text}};
    char *title cleanup_text = title_of(name);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct buf path cleanup_buf = {0}, text cleanup_buf = {0};
        fill(&path, files[i].path, name, title);
        fill(&text, files[i].text, name, title);
        if (write_file(path.data, &text) != 0) {
            fprintf(stderr, "%s: %s\n", path.data, strerror(errno));
            return CMD_NO;
        }
        puts(path.data);
    }
    printf("next: cd %s && make test\n", name);
    return CMD_DONE;
}
