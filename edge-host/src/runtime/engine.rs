//! The wasmtime engine of the process and the clock that interrupts functions.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::memory::MemoryBudget;
use crate::config::Limits;

/// A function that computes gives the thread back this often.
const TICK: Duration = Duration::from_millis(5);
/// Core instances, tables and stacks that one component may need.
const PARTS_PER_CALL: u32 = 8;

/// One engine a process, with its folder of compiled components.
pub struct FunctionEngine {
    pub(super) engine: Engine,
    pub(super) cache: PathBuf,
    pub(super) memory: MemoryBudget,
}

/// Advances the engine's epoch until dropped.
pub struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FunctionEngine {
    /// An engine that holds as many instances as there may be calls at once.
    pub fn new(limits: &Limits, cache: PathBuf) -> wasmtime::Result<Self> {
        let calls = limits.concurrent_calls;
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(calls)
            .total_core_instances(calls * PARTS_PER_CALL)
            .total_memories(calls * 2)
            .total_tables(calls * PARTS_PER_CALL)
            .total_stacks(calls * PARTS_PER_CALL)
            .max_core_instances_per_component(PARTS_PER_CALL)
            .max_memories_per_component(2)
            .max_tables_per_component(PARTS_PER_CALL)
            .max_memory_size(limits.memory_bytes())
            // Clearing what the last call touched is cheaper than giving it back, up to these sizes.
            .linear_memory_keep_resident(512 << 10)
            .table_keep_resident(16 << 10)
            .max_unused_warm_slots(16);
        let mut config = Config::new();
        config
            .wasm_component_model_async(true)
            .epoch_interruption(true)
            // Backtraces are never shown: without their tables functions compile sooner and smaller.
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false)
            .native_unwind_info(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Ok(Self {
            engine: Engine::new(&config)?,
            cache,
            memory: MemoryBudget::new(limits.total_memory_bytes()),
        })
    }

    /// Starts the clock.
    pub fn start_ticker(&self) -> std::io::Result<Ticker> {
        let (engine, stop) = (self.engine.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot panic; and if it did, there is nothing to do about it here.
            let _ = thread.join();
        }
    }
}
