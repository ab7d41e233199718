//! Tests of casts, missing values and fill values.

use super::*;

fn builder(entry: Value) -> Builder {
    Builder::new(&spec(&entry).unwrap(), Dtype::Float64).unwrap()
}

#[test]
fn casts_are_checked() {
    let mut int8 = builder(json!({ "name": "a", "dtype": "int8" }));
    int8.push_int(-128).unwrap();
    int8.push_float(127.0).unwrap();
    assert_eq!(int8.bytes, [0x80, 0x7f]);
    assert_eq!(
        int8.push_int(128).unwrap_err(),
        "holds 128, and int8 goes from -128 to 127"
    );
    assert_eq!(
        int8.push_float(0.5).unwrap_err(),
        "holds 0.5, and int8 takes whole numbers"
    );
    assert_eq!(int8.push_text("x").unwrap_err(), "holds the text \"x\"");
    let mut int64 = builder(json!({ "name": "a", "dtype": "int64" }));
    int64.push_float(i64::MIN as f64).unwrap();
    assert!(
        int64
            .push_float(-(i64::MIN as f64))
            .unwrap_err()
            .contains("goes from")
    );
    assert!(int64.push_float(f64::NAN).is_err());
    let mut float32 = builder(json!({ "name": "a", "dtype": "float32" }));
    float32.push_float(f64::INFINITY).unwrap();
    assert!(float32.push_float(1e39).is_err());
    let mut flag = builder(json!({ "name": "a", "dtype": "bool" }));
    assert!(flag.push_int(2).is_err());
    assert_eq!(int8.bytes.len(), 2, "a refused value leaves nothing behind");
}

#[test]
fn missing_values_follow_the_rule() {
    let mut float = builder(json!({ "name": "a", "dtype": "float32" }));
    float.push_missing().unwrap();
    assert!(f32::from_le_bytes(float.bytes[..].try_into().unwrap()).is_nan());
    let mut int = builder(json!({ "name": "a", "dtype": "int16" }));
    assert!(
        int.push_missing()
            .unwrap_err()
            .contains("int16 has no missing value")
    );
    let mut filled = builder(json!({ "name": "a", "dtype": "int16", "fill": -1 }));
    filled.push_missing().unwrap();
    assert_eq!(filled.bytes, [255, 255]);
    let mut masked = builder(json!({ "name": "a", "dtype": "string", "mask": true }));
    masked.push_text("né").unwrap();
    masked.push_missing().unwrap();
    assert_eq!(
        (masked.ends, masked.mask),
        (vec![0, 3, 3], Some(vec![1, 0]))
    );
}

#[test]
fn a_fill_value_must_fit() {
    let refuse = |entry| {
        Builder::new(&spec(&entry).unwrap(), Dtype::Int64)
            .err()
            .unwrap()
    };
    assert!(refuse(json!({ "name": "a", "dtype": "uint8", "fill": -1 })).contains("0 to 255"));
    assert!(refuse(json!({ "name": "a", "dtype": "uint8", "fill": "x" })).contains("uint8"));
    assert!(refuse(json!({ "name": "a", "dtype": "string", "fill": 0 })).contains("string"));
    assert!(
        spec(&json!({ "name": "a", "dtype": "float16" }))
            .unwrap_err()
            .contains("one of")
    );
}
