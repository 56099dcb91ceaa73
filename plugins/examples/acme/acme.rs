/* SPDX-License-Identifier: Apache-2.0 */
//! Acme: translates between busbar and that system. What it does for an operator is in acme.md; the rules are in
//! busbar/plugin.h. Without the standard library: its memory is the job's, and it keeps no globals.
#![no_std]
mod busbar;
use busbar::*;
use core::{ffi::c_void, mem::size_of, ptr::null, slice};

#[link(name = "c")] // for what the compiler makes of copies and comparisons
extern "C" {
    fn abort() -> !;
    fn strlen(text: Chars) -> usize;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unsafe { abort() }
}

/// Filled from the target's options. The token is not here: the core adds it to each request.
#[repr(C)]
struct Config {
    site: Chars,
}

static OPTIONS: [Option_; 2] = [
    Option_ { name: text!("token"), kind: SECRET, flags: REQUIRED, help: text!("API token of a user"), ..Option_::ZERO },
    Option_ { name: text!("site"), kind: STRING, default_value: text!("main"), help: text!("site"), ..Option_::ZERO },
]; // an option's offset is that of its member in Config: here 0

/// Idempotent, because Acme does a request with a known Idempotency-Key once.
static OPERATIONS: [Operation; 1] = [Operation {
    name: text!("work_order.create"),
    help: text!("Creates a work order; the body goes as it is"),
    flags: WRITES | CREATES | WORK_ORDER | IDEMPOTENT,
    max_batch: 1,
    ..Operation::ZERO
}];

unsafe fn bytes<'a>(text: Str) -> &'a [u8] {
    if text.len == 0 { &[] } else { slice::from_raw_parts(text.data, text.len) }
}

unsafe fn text_of(text: Chars) -> Str {
    Str { data: text, len: strlen(text) }
}

/// A NUL-terminated copy in the job's memory.
unsafe fn keep(host: &Host, job: Job, text: &[u8]) -> Chars {
    (host.format)(job, text!("%.*s"), text.len() as i32, text.as_ptr())
}

/// Where the new work order is: Location: /sites/main/work-orders/7. Its last segment, or NULL.
unsafe fn new_id(host: &Host, job: Job, response: &Response) -> Chars {
    for i in 0..response.header_count {
        let header = &*response.headers.add(i);
        if bytes(text_of(header.name)) == b"location" { // names come in lower case
            return match bytes(header.value).rsplit(|c| *c == b'/').next() {
                Some(id) if !id.is_empty() => keep(host, job, id),
                _ => null(),
            };
        }
    }
    null()
}

unsafe fn judge(host: &Host, job: Job, response: &Response, out: &mut Out) -> Next {
    let next = (host.judge)(job, response, out);
    if response.status == 404 { // every message would fail so: keep them until a person has mended it
        out.error.code = text!("unknown_site");
        out.error.message = text!("Acme does not know the site; the option site must name one of its sites");
        return HOLD;
    }
    if next == DONE {
        out.source_work_order_id = new_id(host, job, response);
    }
    next
}

/// Outbound. The first call asks for a request to be sent, the second judges its response.
extern "C" fn step(host: &Host, this: *mut c_void, input: &In, out: &mut Out) -> Next {
    unsafe {
        if !input.response.is_null() {
            return judge(host, input.job, &*input.response, out);
        }
        let config = &*(this as *const Config);
        let message = &*input.messages;
        let site = (host.path_segment)(input.job, text_of(config.site));
        let header = (host.alloc)(input.job, size_of::<Header>()) as *mut Header; // must outlive this call
        *header = Header { name: text!("Idempotency-Key"), value: text_of(message.id) };
        out.request.method = text!("POST");
        out.request.path = (host.format)(input.job, text!("/sites/%s/work-orders"), site);
        out.request.body = message.body;
        out.request.headers = header;
        out.request.header_count = 1;
        SEND
    }
}

/// Inbound. One verified webhook becomes events on the bus.
extern "C" fn decode(host: &Host, _: *mut c_void, input: &In, _: &mut Out) -> Next {
    let message = unsafe { &*input.messages };
    let name = unsafe { keep(host, input.job, bytes(message.event)) };
    (host.emit)(input.job, &Event { size: size_of::<Event>(), name, raw: message.body, ..Event::ZERO });
    DONE
}

#[no_mangle]
pub static busbar_plugin: Plugin = Plugin {
    magic: MAGIC,
    abi: ABI,
    size: size_of::<Plugin>(),
    name: text!("acme"),
    title: text!("Acme"),
    version: text!("0.1.0"),
    help: text!("Creates work orders in Acme and passes its webhooks on."),
    default_url: text!("https://api.acme.example"),
    config_size: size_of::<Config>(),
    options: OPTIONS.as_ptr(),
    option_size: size_of::<Option_>(),
    option_count: OPTIONS.len(),
    operations: OPERATIONS.as_ptr(),
    operation_size: size_of::<Operation>(),
    operation_count: OPERATIONS.len(),
    auth: Auth { scheme: AUTH_BEARER, secret_option: text!("token"), ..Auth::ZERO },
    hook: Hook {
        event_pointer: text!("/event"),
        dedup_pointers: &[text!("/id"), null()] as *const Chars,
        dedup_required: text!("/id"),
        signature: Signature {
            header: text!("X-Signature"),
            sign_key: text!("sha256="),
            signed_string: text!("{body}"),
            ..Signature::ZERO
        },
    },
    step: Some(step),
    decode: Some(decode),
    ..Plugin::ZERO
};
