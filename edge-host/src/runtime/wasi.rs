//! Everything that faces WASI (0.2 for std, 0.3 for HTTP): linking, the state of a call, the call itself.
//!
//! wasmtime calls its 0.3 support experimental, so a change there should stay inside this file.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p3::{self, bindings::ServicePre};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::memory::{MemoryBudget, MemoryLimit, Shortage};
use super::outbound::OutboundHooks;
use super::output::CountedOutput;
use super::spin::{self, Platform};
use super::{Environment, FunctionEngine};
use crate::audit::AuditDoor;
use crate::store::Session;

/// Random bytes a function may ask for at once.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// A linked component.
pub struct Function {
    pre: ServicePre<CallState>,
    environment: Arc<Environment>,
    output: CountedOutput,
    memory: MemoryBudget,
}

/// One request for a function.
pub struct Call {
    /// With an absolute URI (wasi:http wants scheme and authority) and a whole body.
    pub request: Request<Bytes>,
    /// The clinic's record group, if the route names a clinic.
    pub session: Option<Arc<dyn Session>>,
    /// The clinic's name; empty without one.
    pub clinic: String,
    /// The clinic's audit events, for a component that may read them.
    pub audit: Option<Arc<AuditDoor>>,
    /// When it is stopped.
    pub deadline: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Its time was over.
    #[error("the function ran into its deadline")]
    Deadline,
    /// It wanted more memory than it may have.
    #[error("the function ran into its memory limit")]
    Memory,
    /// All calls together have the memory there is.
    #[error("the host is short of memory for functions")]
    HostMemory,
    /// Its answer was over the bound.
    #[error("the function's answer is over its bound")]
    AnswerTooLarge,
    /// It trapped, or answered with an error instead of a response.
    #[error("the function failed")]
    Failed(#[source] wasmtime::Error),
}

/// The state of one call.
pub(super) struct CallState {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: OutboundHooks,
    platform: Platform,
    memory: MemoryLimit,
}

impl Function {
    pub(super) fn link(
        engine: &FunctionEngine,
        component: &Component,
        environment: Arc<Environment>,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&engine.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        p3::add_to_linker(&mut linker)?;
        spin::add_to_linker(&mut linker, CallState::spin)?;
        let pre = ServicePre::new(linker.instantiate_pre(component)?)?;
        let output = CountedOutput::new(&environment.component);
        Ok(Self { pre, environment, output, memory: engine.memory.clone() })
    }

    /// What it may see and use.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// One call on a fresh instance. The whole answer is read before this returns: the caller decides about
    /// the transaction before a single byte leaves.
    pub async fn call(&self, call: Call) -> Result<Response<Bytes>, CallError> {
        let deadline = call.deadline;
        let mut store = self.store(&call);
        let ran = tokio::time::timeout_at(deadline.into(), self.run(&mut store, call.request)).await;
        let error = match ran {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(_) => return Err(CallError::Deadline),
        };
        Err(match store.data().memory.shortage() {
            _ if error.is::<LengthLimitError>() => CallError::AnswerTooLarge,
            Some(Shortage::OfTheCall) => CallError::Memory,
            Some(Shortage::OfTheHost) => CallError::HostMemory,
            None if error.downcast_ref() == Some(&Trap::Interrupt) => CallError::Deadline,
            None => CallError::Failed(error),
        })
    }

    fn store(&self, call: &Call) -> Store<CallState> {
        let state = CallState::new(self, call);
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        // At every tick the thread goes back to the executor, so that a function that only computes starves
        // nobody.
        store.set_epoch_deadline(1);
        let deadline = call.deadline;
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }

    async fn run(
        &self,
        store: &mut Store<CallState>,
        request: Request<Bytes>,
    ) -> wasmtime::Result<Response<Bytes>> {
        let answer_bytes = self.environment.answer_bytes;
        let service = self.pre.instantiate_async(&mut *store).await?;
        let hooks = &mut store.data_mut().hooks;
        let (request, sent) = p3::Request::from_http(hooks, request.map(Full::new));
        store
            .run_concurrent(async |accessor| {
                let response = service.handle(accessor, request).await??;
                let response = accessor.with(|store| response.into_http(store, sent))?;
                let (parts, body) = response.into_parts();
                let body = Limited::new(body, answer_bytes).collect().await.map_err(body_error)?;
                Ok(Response::from_parts(parts, body.to_bytes()))
            })
            .await?
    }
}

impl CallError {
    /// For a log: what happened, nothing of what the function worked on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::HostMemory => "host-memory",
            Self::AnswerTooLarge => "answer-too-large",
            Self::Failed(error) if error.is::<Trap>() => "trap",
            Self::Failed(_) => "failed",
        }
    }
}

impl CallState {
    fn new(function: &Function, call: &Call) -> Self {
        let environment = &function.environment;
        let mut wasi = WasiCtx::builder();
        wasi.stdout(function.output.clone())
            .stderr(function.output.clone())
            .max_random_size(MAX_RANDOM_BYTES);
        for (name, value) in &environment.environment {
            wasi.env(name, value);
        }
        Self {
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            hooks: OutboundHooks::new(Arc::clone(environment), call),
            platform: Platform::new(Arc::clone(environment), call.session.clone(), call.clinic.clone()),
            memory: MemoryLimit::new(environment.memory_bytes, function.memory.clone()),
        }
    }

    fn spin(&mut self) -> spin::View<'_> {
        spin::View { platform: &mut self.platform, table: &mut self.table }
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> wasmtime::Error {
    match error.downcast::<LengthLimitError>() {
        Ok(limit) => wasmtime::Error::new(*limit),
        Err(_) => wasmtime::format_err!("the answer's body broke off"),
    }
}
