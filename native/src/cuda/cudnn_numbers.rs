//! What the backend of cuDNN calls by number. Compared with the headers of cuDNN 9.26.0.

/// Kinds of descriptors.
pub mod kind {
    use core::ffi::c_int;
    pub const POINTWISE: c_int = 0;
    pub const ENGINE: c_int = 2;
    pub const CONFIG: c_int = 3;
    pub const HEURISTIC: c_int = 4;
    pub const PLAN: c_int = 5;
    pub const POINTWISE_OPERATION: c_int = 13;
    pub const GRAPH: c_int = 15;
    pub const PACK: c_int = 16;
    pub const TENSOR: c_int = 17;
    pub const MATMUL: c_int = 18;
    pub const MATMUL_OPERATION: c_int = 19;
    pub const REDUCTION: c_int = 21;
    pub const REDUCTION_OPERATION: c_int = 22;
    pub const RESHAPE_OPERATION: c_int = 31;
    #[cfg(test)]
    pub const PROPERTIES: c_int = 38;
}

/// Types of attributes.
pub mod form {
    use core::ffi::c_int;
    pub const HANDLE: c_int = 0;
    pub const DATA_TYPE: c_int = 1;
    pub const BOOLEAN: c_int = 2;
    pub const INT64: c_int = 3;
    pub const ADDRESS: c_int = 6;
    pub const HEURISTIC_MODE: c_int = 8;
    pub const NUMERICAL_NOTE: c_int = 11;
    pub const POINTWISE_MODE: c_int = 14;
    pub const DESCRIPTOR: c_int = 15;
    pub const REDUCTION_OPERATOR: c_int = 18;
    #[cfg(test)]
    pub const CHAR: c_int = 24;
}

/// Attributes.
pub mod attribute {
    use core::ffi::c_int;
    pub const POINTWISE_MODE: c_int = 0;
    pub const POINTWISE_MATH: c_int = 1;
    pub const POINTWISE_AXIS: c_int = 9;
    pub const HEURISTIC_MODE: c_int = 200;
    pub const HEURISTIC_GRAPH: c_int = 201;
    pub const HEURISTIC_RESULTS: c_int = 202;
    #[cfg(test)]
    pub const HEURISTIC_PROPERTIES: c_int = 204;
    pub const CONFIG_ENGINE: c_int = 300;
    pub const PLAN_HANDLE: c_int = 400;
    pub const PLAN_CONFIG: c_int = 401;
    pub const PLAN_WORKSPACE: c_int = 402;
    #[cfg(test)]
    pub const PLAN_PROPERTIES: c_int = 407;
    pub const POINTWISE_DESCRIPTOR: c_int = 750;
    pub const POINTWISE_X: c_int = 751;
    pub const POINTWISE_B: c_int = 752;
    pub const POINTWISE_Y: c_int = 753;
    pub const POINTWISE_T: c_int = 758;
    pub const GRAPH_HANDLE: c_int = 800;
    pub const GRAPH_OPERATIONS: c_int = 801;
    pub const TENSOR_ALIGNMENT: c_int = 900;
    pub const TENSOR_TYPE: c_int = 901;
    pub const TENSOR_SIZES: c_int = 902;
    pub const TENSOR_STRIDES: c_int = 903;
    pub const TENSOR_NUMBER: c_int = 906;
    pub const TENSOR_IS_VIRTUAL: c_int = 907;
    pub const TENSOR_IS_VALUE: c_int = 908;
    pub const PACK_NUMBERS: c_int = 1000;
    pub const PACK_ADDRESSES: c_int = 1001;
    pub const PACK_WORKSPACE: c_int = 1003;
    pub const ENGINE_NOTES: c_int = 1303;
    pub const MATMUL_TYPE: c_int = 1500;
    pub const MATMUL_A: c_int = 1520;
    pub const MATMUL_B: c_int = 1521;
    pub const MATMUL_C: c_int = 1522;
    pub const MATMUL_DESCRIPTOR: c_int = 1523;
    pub const REDUCTION_OPERATOR: c_int = 1600;
    pub const REDUCTION_TYPE: c_int = 1601;
    pub const REDUCTION_X: c_int = 1610;
    pub const REDUCTION_Y: c_int = 1611;
    pub const REDUCTION_DESCRIPTOR: c_int = 1612;
    pub const RESHAPE_X: c_int = 2200;
    pub const RESHAPE_Y: c_int = 2201;
    #[cfg(test)]
    pub const PROPERTIES_JSON: c_int = 2702;
}
