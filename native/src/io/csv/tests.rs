//! Tests of the job "csv" on small texts.

use super::*;
use serde_json::json;

fn table(text: &[u8], mut request: Value) -> Result<JobOutput, String> {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("toro_csv_{}_{number}.csv", std::process::id()));
    std::fs::write(&path, text).unwrap();
    request["path"] = json!(path);
    let result = read(&request);
    std::fs::remove_file(&path).unwrap();
    result.map_err(|error| error.replace(path.to_str().unwrap(), "FILE"))
}

fn dtypes(output: &JobOutput) -> Vec<&str> {
    output.json["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["dtype"].as_str().unwrap())
        .collect()
}

fn int64s(bytes: &[u8]) -> Vec<i64> {
    bytes
        .chunks(8)
        .map(|eight| i64::from_le_bytes(eight.try_into().unwrap()))
        .collect()
}

#[test]
fn types_are_inferred() {
    let text = b"\xef\xbb\xbfid,score,name,hole,long\r\n1,2.5,\"Smith, \"\"J\"\"\",3,99999999999999999999\r\n-2,1e3,\"two\nlines\",,1";
    let output = table(text, json!({})).unwrap();
    assert_eq!(output.json["rows"], 2);
    assert_eq!(output.json["columns"][0]["name"], "id");
    assert_eq!(
        dtypes(&output),
        ["int64", "float32", "string", "float32", "string"]
    );
    assert_eq!(int64s(&output.buffers[0]), [1, -2]);
    let name = output.json["columns"][2]["buffer"].as_u64().unwrap() as usize;
    assert_eq!(output.buffers[name], b"Smith, \"J\"two\nlines");
}

#[test]
fn all_line_ends_and_delimiters() {
    for text in ["a;b\r1;2\r3;4\r", "a;b\r\n1;2\r\n3;4", "a;b\n1;2\n3;4\n"] {
        let output = table(text.as_bytes(), json!({ "delimiter": ";" })).unwrap();
        assert_eq!(int64s(&output.buffers[1]), [2, 4], "{text:?}");
    }
    let output = table(b"1,2\n3,4\n", json!({ "header": false })).unwrap();
    assert_eq!(output.json["columns"][1]["name"], "column1");
    let output = table(b"1,2\n3,4\n", json!({ "header": ["x", "y"] })).unwrap();
    assert_eq!(output.json["columns"][1]["name"], "y");
    assert!(
        table(b"1,2\n", json!({ "header": ["x"] }))
            .unwrap_err()
            .contains("names 1 columns")
    );
    assert!(
        table(b"a\n", json!({ "delimiter": "::" }))
            .unwrap_err()
            .contains("one ASCII")
    );
}

#[test]
fn a_bad_cell_is_named() {
    let want = |dtype: &str| json!({ "columns": [{ "name": "b", "dtype": dtype }] });
    let error = table(b"a,b\n1,2\n\"x\ny\",oops\n", want("int64")).unwrap_err();
    assert_eq!(
        error,
        "Cannot read column \"b\" of FILE as int64: line 3 holds \"oops\", which is no int64"
    );
    let error = table(b"a,b\r1,2\r1,2.5\r", want("int64")).unwrap_err();
    assert!(
        error.ends_with("line 3 holds 2.5, and int64 takes whole numbers"),
        "{error}"
    );
    assert!(
        table(b"b\n300\n", want("uint8"))
            .unwrap_err()
            .contains("from 0 to 255")
    );
    assert!(
        table(b"b\n1e39\n", want("float32"))
            .unwrap_err()
            .contains("3.4e38")
    );
    assert!(
        table(b"b\n99999999999999999999\n", want("int64"))
            .unwrap_err()
            .contains("beyond")
    );
    assert!(
        table(b"b\n01/02/2010\n", want("timestamp"))
            .unwrap_err()
            .contains("looks like")
    );
    assert!(
        table(b"b\n\xff\n", want("string"))
            .unwrap_err()
            .contains("no UTF-8")
    );
    assert!(
        table(b"a,b\n1\n", json!({}))
            .unwrap_err()
            .contains("line 2 has 1 cells")
    );
    assert!(
        table(b"a,b\n1,2\n", json!({ "columns": [{ "name": "c" }] }))
            .unwrap_err()
            .contains("the file has \"a\", \"b\"")
    );
    assert!(table(b"", json!({})).unwrap_err().contains("is empty"));
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let output = table(
        b"b\n3.0\n 1e3 \n",
        json!({ "columns": [{ "name": "b", "dtype": "int64" }] }),
    );
    assert_eq!(int64s(&output.unwrap().buffers[0]), [3, 1000]);
}

#[test]
fn missing_cells_follow_the_rule() {
    let one = |entry: Value| json!({ "columns": [entry], "missing": ["NA"] });
    let error = table(b"a,b\n1,\n", one(json!({ "name": "b", "dtype": "int32" }))).unwrap_err();
    assert!(
        error.contains("line 2 holds nothing, and int32 has no missing value\nHint: "),
        "{error}"
    );
    let output = table(
        b"a,b\n1,NA\n",
        one(json!({ "name": "b", "dtype": "int8", "fill": -1, "mask": true })),
    )
    .unwrap();
    assert_eq!(output.buffers, [vec![255], vec![0]]);
    let output = table(
        b"a,b\n1,\n",
        one(json!({ "name": "b", "dtype": "float32" })),
    )
    .unwrap();
    assert!(f32::from_le_bytes(output.buffers[0][..].try_into().unwrap()).is_nan());
    let output = table(b"a,b\n1,\n", one(json!({ "name": "b", "dtype": "string" }))).unwrap();
    assert_eq!(output.buffers[1], b"");
}

#[test]
fn a_list_of_names_promises_numbers() {
    let want = json!({ "columns": [{ "name": "b", "dtype": "number" }] });
    assert_eq!(
        dtypes(&table(b"a,b\n1,2\n", want.clone()).unwrap()),
        ["int64"]
    );
    assert!(
        table(b"a,b\n1,x\n", want)
            .unwrap_err()
            .contains("it holds text")
    );
}
