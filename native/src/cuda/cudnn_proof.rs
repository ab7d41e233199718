//! Whether the real cuDNN takes the graphs of attention: it makes plans for a device that is only described, on a machine
//! without one. What a plan computes only a device can tell. `deno task test:cudnn` runs this.

use super::cudnn::{self, Type};
use super::cudnn_attention::{Attention, AttentionGradients, Attentions, Lie, Operands};
use super::cudnn_words::No;
use super::libraries::version_text;
use serde_json::json;
use std::ffi::CString;
use std::process::Command;

/// What the library asks a driver for before it makes a plan. This one has no device.
const DRIVER: &str = "
int cuInit(unsigned flags) { return 100; }
int cuDriverGetVersion(int* version) { *version = 13000; return 0; }
int cuDeviceGetCount(int* count) { *count = 0; return 0; }
#define NOTHING(name) int name(void) { return 0; }
NOTHING(cuCtxGetCurrent) NOTHING(cuCtxGetLimit) NOTHING(cuCtxPopCurrent) NOTHING(cuCtxPushCurrent) NOTHING(cuDeviceGet)
NOTHING(cuGetErrorName) NOTHING(cuGetErrorString) NOTHING(cuKernelGetAttribute) NOTHING(cuKernelGetFunction)
NOTHING(cuKernelSetAttribute) NOTHING(cuLaunchCooperativeKernel) NOTHING(cuLaunchKernel) NOTHING(cuLaunchKernelEx)
NOTHING(cuLibraryGetKernel) NOTHING(cuLibraryLoadData) NOTHING(cuLibraryLoadFromFile) NOTHING(cuLibraryUnload)
NOTHING(cuLinkAddData) NOTHING(cuLinkComplete) NOTHING(cuLinkCreate) NOTHING(cuLinkDestroy)
NOTHING(cuOccupancyMaxPotentialClusterSize) NOTHING(cuStreamGetCtx)
";

/// Opens a driver of that name, which the library then finds by it.
fn open_driver() {
    let folder = std::env::temp_dir().join(format!("toro_cudnn_{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (source, library) = (folder.join("driver.c"), folder.join("libcuda.so.1"));
    std::fs::write(&source, DRIVER).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]);
    assert!(cc.arg(&library).arg(&source).status().unwrap().success());
    let name = CString::new(library.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a path that ends in a zero, to a library that does nothing when it is opened.
    let opened = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    assert!(!opened.is_null());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A device as the library writes its properties: compute capability, processors, shared memory of a block, level-2 cache,
/// blocks and threads of a processor.
struct Model(i32, i32, i32, i32, i32, i32);
const MODELS: [Model; 5] = [
    Model(80, 108, 166_912, 40, 32, 2048),
    Model(89, 128, 101_376, 72, 24, 1536),
    Model(90, 132, 232_448, 50, 32, 2048),
    Model(100, 148, 232_448, 126, 32, 2048),
    Model(120, 170, 101_376, 96, 24, 1536),
];

impl Model {
    fn properties(&self) -> String {
        let &Model(capability, processors, shared, cache, blocks, threads) = self;
        json!({
            "deviceName": "GPU",
            "deviceVer": capability * 10,
            "driverVer": 13_000,
            "cudaDeviceId": 0,
            "pciDeviceId": 0,
            "multiProcessorCount": processors,
            "smCountOrigin": 0,
            "maxGridSize": [i32::MAX, 65_535, 65_535],
            "maxBlockSize": [1024, 1024, 64],
            "maxThreadsPerBlock": 1024,
            "maxThreadsPerSM": threads,
            "maxCtasPerSM": blocks,
            "warpSize": 32,
            "regsPerBlock": 65_536,
            "maxRegistersPerSM": 65_536,
            "maxSharedMemoryPerBlock": 49_152,
            "maxSharedMemoryPerBlockOptin": shared,
            "oversizedSharedMemoryPerBlock": shared,
            "reservedSharedMemoryPerBlock": 1024,
            "l2CacheSize": cache << 20,
            "totalGlobalMem": 24u64 << 30,
            "smClockRateKHz": 1_500_000,
            "memClockRateKHz": 2_500_000,
            "isTccDriver": 0,
            "supportCoopLaunch": 1,
        })
        .to_string()
    }
}

/// Of a batch of so many.
const BATCH: i64 = 4;

/// How heads lie: behind each other; as views of one product, in which rows of q, k and v are beside each other; rows of the
/// whole batch beside each other.
#[derive(Clone, Copy)]
enum Order {
    Heads,
    Packed,
    Rows,
}

fn lie(heads: i64, rows: i64, columns: i64, order: Order) -> Lie {
    let (batch, head, row) = match order {
        Order::Heads => (heads * rows * columns, rows * columns, columns),
        Order::Packed => (rows * 3 * heads * columns, columns, 3 * heads * columns),
        Order::Rows => (heads * columns, columns, BATCH * heads * columns),
    };
    Lie { batch, head, row }
}

/// Heads of queries and of keys, rows of queries and of keys, columns of both and of values; 16-bit floats.
struct Case(Type, [i64; 2], [i64; 2], [i64; 2], bool, Order);

impl Case {
    fn attention(&self, backward: bool) -> Attention {
        let &Case(kind, [heads, key_heads], [queries, keys], [head, value], causal, order) = self;
        let of_queries = |columns| lie(heads, queries, columns, order);
        let of_keys = |columns| lie(key_heads, keys, columns, order);
        Attention {
            kind,
            batch: BATCH,
            heads,
            key_heads,
            queries,
            keys,
            head,
            value,
            causal,
            lie: Operands {
                q: of_queries(head),
                k: of_keys(head),
                v: of_keys(value),
                out: lie(heads, queries, value, Order::Heads),
                gradients: backward.then(|| AttentionGradients {
                    g: lie(heads, queries, value, Order::Heads),
                    gq: of_queries(head),
                    gk: of_keys(head),
                    gv: of_keys(value),
                }),
            },
        }
    }
}

#[test]
#[ignore = "needs the real cuDNN: deno task test:cudnn"]
fn the_library_takes_the_graphs() {
    let cases = [
        Case(
            Type::Bf16,
            [12, 12],
            [1024, 1024],
            [64, 64],
            true,
            Order::Packed,
        ),
        Case(Type::F16, [4, 4], [64, 192], [128, 128], false, Order::Rows),
        Case(Type::Bf16, [8, 2], [256, 256], [64, 64], true, Order::Heads),
        Case(Type::F16, [6, 1], [128, 64], [40, 96], true, Order::Heads),
    ];
    open_driver();
    let found = cudnn::open().unwrap_or_else(|why| panic!("cuDNN: {why}"));
    let attentions = Attentions::open(&found).unwrap_or_else(|why| panic!("cuDNN: {why}"));
    println!("cuDNN {}", version_text(found.number));
    let said = |no: No| match no {
        No::Refusal => "refused".to_string(),
        No::Failure(fault) => format!("{fault:?}"),
    };
    for model in &MODELS {
        let capability = model.0;
        let device = attentions
            .described(&model.properties())
            .map_err(said)
            .unwrap();
        let plan = |case: &Case, backward: bool| {
            let attention = case.attention(backward);
            attentions.planned(&attention, &device).map_err(said)
        };
        for (i, case) in cases.iter().enumerate() {
            for backward in [false, true] {
                let bytes = plan(case, backward);
                println!(
                    "sm_{capability}, case {i}, backward {backward}: {bytes:?} bytes of workspace"
                );
                assert!(bytes.is_ok());
            }
        }
        // What it has no kernel for it refuses, and that is no failure.
        let odd = Case(Type::F16, [2, 2], [64, 64], [20, 20], false, Order::Heads);
        assert_eq!(plan(&odd, false), Err("refused".into()));
        let long = Case(
            Type::F16,
            [8, 8],
            [16_384, 16_384],
            [64, 64],
            false,
            Order::Heads,
        );
        assert_eq!(
            plan(&long, true),
            Err("refused".into()),
            "too large a workspace"
        );
    }
}
