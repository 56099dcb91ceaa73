/* SPDX-License-Identifier: Apache-2.0 */
#include "object.h"

#include "buf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES ((off_t)1 << 30)
#define INDEX_MASK 0x7fffu

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE /* not known: the dynamic loader says it */
#endif

/* A part of the file. */
struct part {
    uint64_t at, size;
};

struct symbols {
    struct part table, names, versions;
};

/* ---- bytes, with their bounds ----------------------------------------------------------- */

static bool get(const struct object *o, uint64_t at, void *to, size_t size)
{
    if (at > o->len || size > o->len - at)
        return false;
    memcpy(to, o->bytes + at, size);
    return true;
}

/* A text of a table; NULL when it does not end within it. */
static const char *text_at(const struct object *o, struct part table, uint64_t index)
{
    if (table.at > o->len || table.size > o->len - table.at || index >= table.size)
        return NULL;
    const char *text = o->bytes + table.at + index;
    return memchr(text, '\0', table.size - index) ? text : NULL;
}

static void add_name(struct object_names *names, const char *name)
{
    if (!name || !*name)
        return;
    names->items = mem_grow(names->items, &names->cap, names->count + 1, sizeof *names->items);
    names->items[names->count++] = name;
}

/* ---- as the dynamic loader reads it: segments --------------------------------------------- */

static bool segment(const struct object *o, const ElfW(Ehdr) * head, size_t i, ElfW(Phdr) * out)
{
    return i < head->e_phnum && head->e_phentsize == sizeof *out &&
           get(o, head->e_phoff + i * sizeof *out, out, sizeof *out);
}

/* Where an address lies in the file. */
static bool find_address(const struct object *o, const ElfW(Ehdr) * head, uint64_t address, struct part *out)
{
    ElfW(Phdr) each;
    for (size_t i = 0; segment(o, head, i, &each); i++)
        if (each.p_type == PT_LOAD && address >= each.p_vaddr && address - each.p_vaddr < each.p_filesz) {
            *out = (struct part){each.p_offset + (address - each.p_vaddr), each.p_filesz - (address - each.p_vaddr)};
            return true;
        }
    return false;
}

static void read_wanted(struct object *o, struct part names, uint64_t at)
{
    ElfW(Verneed) file;
    for (; get(o, at, &file, sizeof file); at += file.vn_next) {
        ElfW(Vernaux) each;
        uint64_t item = at + file.vn_aux;
        for (size_t i = 0; i < file.vn_cnt && get(o, item, &each, sizeof each); i++, item += each.vna_next) {
            const char *library = text_at(o, names, file.vn_file), *version = text_at(o, names, each.vna_name);
            if (!library || !version)
                continue;
            o->versions = mem_grow(o->versions, &o->version_cap, o->version_count + 1, sizeof *o->versions);
            o->versions[o->version_count++] = (struct object_version){.library = library,
                                                                      .version = version,
                                                                      .weak = (each.vna_flags & VER_FLG_WEAK) != 0,
                                                                      .index = each.vna_other & INDEX_MASK};
        }
        if (file.vn_next == 0)
            return;
    }
}

static void read_offers(struct object *o, struct part names, uint64_t at)
{
    ElfW(Verdef) each;
    for (; get(o, at, &each, sizeof each); at += each.vd_next) {
        ElfW(Verdaux) name;
        if (get(o, at + each.vd_aux, &name, sizeof name))
            add_name(&o->offers, text_at(o, names, name.vda_name));
        if (each.vd_next == 0)
            return;
    }
}

static void read_dynamic(struct object *o, const ElfW(Ehdr) * head, const ElfW(Phdr) * dynamic)
{
    struct part names = {0}, wanted = {0}, offers = {0};
    ElfW(Dyn) each;
    const uint64_t count = dynamic->p_filesz / sizeof each;
    for (uint64_t i = 0; i < count && get(o, dynamic->p_offset + i * sizeof each, &each, sizeof each); i++) {
        if (each.d_tag == DT_STRTAB)
            (void)find_address(o, head, each.d_un.d_ptr, &names);
        else if (each.d_tag == DT_VERNEED)
            (void)find_address(o, head, each.d_un.d_ptr, &wanted);
        else if (each.d_tag == DT_VERDEF)
            (void)find_address(o, head, each.d_un.d_ptr, &offers);
    }
    for (uint64_t i = 0; i < count && get(o, dynamic->p_offset + i * sizeof each, &each, sizeof each); i++) {
        if (each.d_tag == DT_NEEDED)
            add_name(&o->libraries, text_at(o, names, each.d_un.d_val));
        else if (each.d_tag == DT_RUNPATH || (each.d_tag == DT_RPATH && !o->run_path))
            o->run_path = text_at(o, names, each.d_un.d_val);
    }
    if (wanted.size)
        read_wanted(o, names, wanted.at);
    if (offers.size)
        read_offers(o, names, offers.at);
}

/* ---- as the linker left it: sections ------------------------------------------------------- */

static bool section(const struct object *o, const ElfW(Ehdr) * head, size_t i, ElfW(Shdr) * out)
{
    return i < head->e_shnum && head->e_shentsize == sizeof *out &&
           get(o, head->e_shoff + i * sizeof *out, out, sizeof *out);
}

static const char *section_name(const struct object *o, const ElfW(Ehdr) * head, const ElfW(Shdr) * of)
{
    ElfW(Shdr) names;
    if (!section(o, head, head->e_shstrndx, &names))
        return NULL;
    return text_at(o, (struct part){names.sh_offset, names.sh_size}, of->sh_name);
}

/* Data that stays writable: .data.rel.ro is not, once it is loaded. */
static bool is_writable(const struct object *o, const ElfW(Ehdr) * head, size_t index)
{
    static const char *const names[] = {".data", ".bss", ".tdata", ".tbss"};
    ElfW(Shdr) of;
    const char *name = section(o, head, index, &of) ? section_name(o, head, &of) : NULL;
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++) {
        const size_t len = strlen(names[i]);
        if (strncmp(name, names[i], len) == 0 && (!name[len] || name[len] == '.'))
            return strncmp(name, ".data.rel.ro", 12) != 0;
    }
    return false;
}

static struct symbols find_symbols(const struct object *o, const ElfW(Ehdr) * head, uint32_t type)
{
    struct symbols found = {0};
    ElfW(Shdr) each, names;
    for (size_t i = 0; section(o, head, i, &each); i++) {
        if (each.sh_type == type && section(o, head, each.sh_link, &names)) {
            found.table = (struct part){each.sh_offset, each.sh_size};
            found.names = (struct part){names.sh_offset, names.sh_size};
        } else if (each.sh_type == SHT_GNU_versym && type == SHT_DYNSYM) {
            found.versions = (struct part){each.sh_offset, each.sh_size};
        }
    }
    return found;
}

/* A symbol that it takes from elsewhere. */
static void note_taken(struct object *o, const struct symbols *symbols, uint64_t i, const char *name)
{
    uint16_t index;
    if ((i + 1) * sizeof index > symbols->versions.size ||
        !get(o, symbols->versions.at + i * sizeof index, &index, sizeof index))
        return;
    for (size_t v = 0; v < o->version_count; v++)
        if (o->versions[v].index == (index & INDEX_MASK))
            add_name(&o->versions[v].symbols, name);
}

/* C++ has what is in every library (weak, unique); what begins with __ and the five are the linker's own. */
static bool is_export(const ElfW(Sym) * symbol, const char *name)
{
    static const char *const linkers[] = {"_init", "_fini", "_edata", "_end", "_start"};
    for (size_t i = 0; i < sizeof linkers / sizeof *linkers; i++)
        if (strcmp(linkers[i], name) == 0)
            return false;
    const unsigned visibility = symbol->st_other & 3u; /* ELF64_ST_VISIBILITY, the same in both classes */
    return symbol->st_info >> 4 == STB_GLOBAL && (visibility == STV_DEFAULT || visibility == STV_PROTECTED) &&
           strncmp(name, "__", 2) != 0;
}

static void read_exports(struct object *o, const ElfW(Ehdr) * head)
{
    const struct symbols symbols = find_symbols(o, head, SHT_DYNSYM);
    ElfW(Sym) each;
    for (uint64_t i = 0; i < symbols.table.size / sizeof each; i++) {
        if (!get(o, symbols.table.at + i * sizeof each, &each, sizeof each))
            return;
        const char *name = text_at(o, symbols.names, each.st_name);
        if (!name || !*name)
            continue;
        if (each.st_shndx == SHN_UNDEF)
            note_taken(o, &symbols, i, name);
        else if (each.st_shndx < SHN_LORESERVE && is_export(&each, name))
            add_name(&o->exports, name);
    }
}

/* What begins with _ is a compiler's or a runtime's own, or C++'s (completed.0 and DW.ref. are, too). The descriptor is
 * what it is, even where a language fills it at the start. */
static void read_variables(struct object *o, const ElfW(Ehdr) * head)
{
    const struct symbols symbols = find_symbols(o, head, SHT_SYMTAB);
    ElfW(Sym) each;
    for (uint64_t i = 0; i < symbols.table.size / sizeof each; i++) {
        if (!get(o, symbols.table.at + i * sizeof each, &each, sizeof each))
            return;
        const char *name = text_at(o, symbols.names, each.st_name);
        const unsigned type = each.st_info & 15u;
        if (!name || !*name || *name == '_' || strcmp(name, "completed.0") == 0 || strcmp(name, "busbar_plugin") == 0 ||
            strncmp(name, "DW.ref.", 7) == 0 || (type != STT_OBJECT && type != STT_TLS) ||
            !is_writable(o, head, each.st_shndx))
            continue;
        o->variables = mem_grow(o->variables, &o->variable_cap, o->variable_count + 1, sizeof *o->variables);
        o->variables[o->variable_count++] = (struct object_variable){name, each.st_size};
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static const char *read_bytes(struct object *o, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return strerror(errno);
    struct stat found;
    const char *fault = NULL;
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size > MOST_BYTES)
        fault = "it is no file of less than 1 GiB";
    else
        o->bytes = mem_alloc((size_t)found.st_size + 1);
    while (!fault && o->len < (size_t)found.st_size) {
        const ssize_t n = read(fd, o->bytes + o->len, (size_t)found.st_size - o->len);
        if (n > 0)
            o->len += (size_t)n;
        else if (n == 0 || errno != EINTR)
            fault = "it cannot be read";
    }
    close(fd);
    return fault;
}

static const char *head_fault(const struct object *o, ElfW(Ehdr) * head)
{
    const union {
        uint16_t word;
        uint8_t first;
    } order = {1};
    if (!get(o, 0, head, sizeof *head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return "it is no ELF file";
    const unsigned char class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    if (head->e_ident[EI_CLASS] != class || head->e_ident[EI_DATA] != (order.first ? ELFDATA2LSB : ELFDATA2MSB) ||
        (MACHINE != EM_NONE && head->e_machine != MACHINE))
        return "it was built for another kind of machine";
    if (head->e_type != ET_DYN)
        return "it is no shared object: link it with -shared";
    return NULL;
}

struct object *object_read(const char *path, char **why)
{
    struct object *o = mem_alloc(sizeof *o);
    ElfW(Ehdr) head;
    const char *fault = read_bytes(o, path);
    if (!fault)
        fault = head_fault(o, &head);
    bool has_dynamic = false;
    ElfW(Phdr) each;
    for (size_t i = 0; !fault && segment(o, &head, i, &each); i++)
        if (each.p_type == PT_LOAD && (each.p_filesz > o->len || each.p_offset > o->len - each.p_filesz)) {
            fault = "it is cut off: what is to be loaded goes on behind the end of the file";
        } else if (each.p_type == PT_DYNAMIC && !has_dynamic) {
            has_dynamic = true;
            read_dynamic(o, &head, &each);
        }
    if (!fault && !has_dynamic)
        fault = "it is no shared object, or a broken one: it has no dynamic segment";
    if (fault) {
        *why = mem_strdup(fault);
        object_destroy(o);
        return NULL;
    }
    read_exports(o, &head);
    read_variables(o, &head);
    return o;
}

void object_destroy(struct object *object)
{
    if (!object)
        return;
    for (size_t i = 0; i < object->version_count; i++)
        free(object->versions[i].symbols.items);
    free(object->versions);
    free(object->variables);
    free(object->libraries.items);
    free(object->offers.items);
    free(object->exports.items);
    free(object->bytes);
    free(object);
}

bool object_offers(const struct object *object, const char *version)
{
    for (size_t i = 0; i < object->offers.count; i++)
        if (strcmp(object->offers.items[i], version) == 0)
            return true;
    return false;
}
