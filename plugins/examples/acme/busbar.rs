/* SPDX-License-Identifier: Apache-2.0 */
//! busbar's plugin ABI 1 (busbar/plugin.h) in Rust: the same names without bb_, the same members in the same order. What
//! they mean stands in the header. What nobody names is zero, as in C: `Auth { scheme: AUTH_BEARER, ..Auth::ZERO }`.
#![allow(dead_code)]
use core::ffi::c_void;
use core::mem::{size_of, transmute};

pub type Chars = *const u8; // NUL-terminated, or NULL: text!("...")
pub type Call = extern "C" fn(&Host, *mut c_void, &In, &mut Out) -> Next;
pub type Job = *mut c_void;

macro_rules! constants {
    ($($of:ident: $($name:ident = $value:expr),*;)*) => {$(pub type $of = u32; $(pub const $name: $of = $value;)*)*};
}
constants! {
    Version: ABI = 1, MAGIC = 0x42425553;
    Next: SEND = 1, DONE = 2, RETRY = 3, REJECT = 4, HOLD = 5;
    Class: CLASS_NONE = 0, AUTHENTICATION = 1, AUTHORIZATION = 2, VALIDATION = 3, IDENTITY = 4, CONFLICT = 5,
        PROVIDER_UNAVAILABLE = 6;
    Kind: STRING = 1, BOOL = 2, INT = 3, NUMBER = 4, DURATION = 5, JSON = 6, SECRET = 7;
    Flags: REQUIRED = 1, WRITES = 1, CREATES = 2, IDEMPOTENT = 4, CAN_LOOKUP = 8, PARK = 16, UNVERIFIED = 32,
        AT_START = 64, WORK_ORDER = 128, REPEAT_5XX = 256;
    Scheme: AUTH_NONE = 0, AUTH_HEADER = 1, AUTH_BASIC = 2, AUTH_BEARER = 3;
    Table: STATUSES = 1, PRIORITIES = 2;
    Level: LOG_DEBUG = 1, LOG_INFO = 2, LOG_WARN = 3, LOG_ERROR = 4;
}

macro_rules! structs {
    ($($name:ident { $($member:ident: $type:ty),* $(,)? })*) => {$(
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $name { $(pub $member: $type),* }
        impl $name { pub const ZERO: Self = unsafe { transmute([0u8; size_of::<Self>()]) }; }
        unsafe impl Sync for $name {} // tables are constant, all else is used in one thread
    )*};
}
structs! {
    Str { data: *const u8, len: usize }
    Option_ { name: Chars, kind: Kind, offset: usize, default_value: Chars, flags: Flags, help: Chars }
    Operation { name: Chars, help: Chars, flags: Flags, max_batch: u32, coalesce: Chars, default_cooldown_ms: i64,
        default_budget: Chars, budget_pointer: Chars, order_pointer: Chars, moves_to: Chars }
    Auth { scheme: Scheme, header: Chars, secret_option: Chars, user_option: Chars }
    Signature { header: Chars, pairs: bool, time_key: Chars, nonce_key: Chars, sign_key: Chars, signed_string: Chars,
        tolerance_ms: i64 }
    Hook { event_pointer: Chars, dedup_pointers: *const Chars, dedup_required: Chars, signature: Signature }
    Header { name: Chars, value: Str }
    Request { method: Chars, path: Chars, body: Str, content_type: Chars, headers: *const Header, header_count: usize,
        cache_ms: i64 }
    Response { size: usize, status: i32, body: Str, headers: *const Header, header_count: usize, cached: bool }
    Message { id: Chars, order_id: Chars, body: Str, topic: Str, event: Str, received_ms: i64,
        source_work_order_id: Chars }
    In { size: usize, job: Job, operation: Chars, messages: *const Message, message_size: usize, message_count: usize,
        response: *const Response, state: *mut *mut c_void, attempt: i32, uncertain: bool, now_ms: i64 }
    Error { error_class: Class, code: Chars, message: Chars, rejected_fields: Chars, owner_action: Chars }
    Out { size: usize, request: Request, error: Error, retry_after_ms: i64, hold_operation: bool, unconfirmed: bool,
        source_work_order_id: Chars, asset_ref: Chars }
    WorkOrder { order_id: Chars, delivery_id: Chars, source_work_order_id: Chars, asset_ref: Chars, source_status: Chars,
        common_status: Chars, priority: Chars, source_priority: Chars, sla_due_at: Chars }
    Event { size: usize, kind: Chars, name: Chars, dedup_id: Chars, occurred_ms: i64, work_order: *const WorkOrder,
        raw: Str }
    Mapping { source: Chars, common: Chars }
    Host { size: usize, context: *mut c_void,
        alloc: extern "C" fn(Job, usize) -> *mut c_void,
        format: unsafe extern "C" fn(Job, Chars, ...) -> Chars,
        path_segment: extern "C" fn(Job, Str) -> Chars,
        emit: extern "C" fn(Job, &Event),
        settle: extern "C" fn(Job, usize, Next, *const Error),
        judge: extern "C" fn(Job, *const Response, &mut Out) -> Next,
        note_get: extern "C" fn(Job, Chars) -> Chars,
        note_put: extern "C" fn(Job, Chars, Chars),
        now_ms: extern "C" fn(Job) -> i64,
        log: extern "C" fn(Job, Level, Chars),
        count: extern "C" fn(Job, Chars, u64),
        source_word: extern "C" fn(Job, Table, Chars) -> Chars,
        common_word: extern "C" fn(Job, Table, Chars) -> Chars }
    Description { size: usize, operations: *const Operation, operation_size: usize, operation_count: usize, hook: Hook,
        poll_ms: i64 }
    Plugin { magic: Version, abi: Version, size: usize, name: Chars, title: Chars, version: Chars, help: Chars,
        default_url: Chars, config_size: usize, options: *const Option_, option_size: usize, option_count: usize,
        operations: *const Operation, operation_size: usize, operation_count: usize, auth: Auth, hook: Hook,
        open: Option<extern "C" fn(&Host, Job, *const c_void, &mut *mut c_void, &mut Chars) -> i32>,
        close: Option<extern "C" fn(*mut c_void)>,
        check: Option<extern "C" fn(&Host, Job, *mut c_void, Chars, Str) -> Chars>,
        step: Option<Call>, decode: Option<Call>, poll: Option<Call>, poll_ms: i64, user_agent_option: Chars,
        statuses: *const Mapping, status_count: usize, priorities: *const Mapping, priority_count: usize,
        describe: Option<extern "C" fn(*mut c_void, &mut Description)>, hook_events: *const Chars }
}

/// A NUL-terminated text that lasts.
#[macro_export]
macro_rules! text {
    ($text:expr) => { concat!($text, "\0").as_ptr() };
}
