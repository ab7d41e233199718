//! The job "png": draws an SVG text as a PNG picture, with the embedded font alone, so that the
//! same text gives the same picture on every machine. Request `{svg, width?, scale?}`.

use super::JobOutput;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{ImageHrefResolver, Options, Tree, fontdb::Database};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// DejaVu Sans, cut to Latin, Greek, Cyrillic and common symbols; see assets/LICENSE-DejaVu.txt.
static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
const FAMILY: &str = "DejaVu Sans";

/// Pixels along the longer side, at most.
const LARGEST: f32 = 16384.0;

fn fonts() -> Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    let load = || {
        let mut fonts = Database::new();
        fonts.load_font_data(FONT.to_vec());
        fonts.set_serif_family(FAMILY);
        fonts.set_sans_serif_family(FAMILY);
        fonts.set_cursive_family(FAMILY);
        fonts.set_fantasy_family(FAMILY);
        fonts.set_monospace_family(FAMILY);
        Arc::new(fonts)
    };
    FONTS.get_or_init(load).clone()
}

pub fn render(request: &Value) -> Result<JobOutput, String> {
    let svg = request["svg"]
        .as_str()
        .ok_or_else(|| "Cannot draw a PNG: the request has no svg text".to_string())?;
    let options = Options {
        font_family: FAMILY.to_string(),
        fontdb: fonts(),
        // A picture never opens another file.
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|_, _| None),
        },
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options)
        .map_err(|error| format!("Cannot draw a PNG: the svg is not valid ({error})"))?;
    let size = tree.size();
    let scale = match (request["width"].as_f64(), request["scale"].as_f64()) {
        (Some(width), _) => width as f32 / size.width(),
        (None, Some(scale)) => scale as f32,
        (None, None) => 1.0,
    };
    let (width, height) = (
        (size.width() * scale).round(),
        (size.height() * scale).round(),
    );
    if !(1.0..=LARGEST).contains(&width) || !(1.0..=LARGEST).contains(&height) {
        return Err(format!(
            "Cannot draw a PNG of {width} by {height} pixels: each side is 1 to {LARGEST}"
        ));
    }
    let (width, height) = (width as u32, height as u32);
    let mut picture = Pixmap::new(width, height)
        .ok_or_else(|| format!("Cannot draw a PNG of {width} by {height} pixels: no memory"))?;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut picture.as_mut(),
    );
    let png = picture
        .encode_png()
        .map_err(|error| format!("Cannot write a PNG: {error}"))?;
    Ok(JobOutput {
        json: json!({ "width": width, "height": height }),
        buffers: vec![png],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(body: &str) -> Vec<u8> {
        let svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20">{body}</svg>"##
        );
        render(&json!({ "svg": svg })).unwrap().buffers.remove(0)
    }

    #[test]
    fn text_is_drawn_in_any_family() {
        let empty = draw("");
        assert_eq!(&empty[..8], b"\x89PNG\r\n\x1a\n");
        let text = |family: &str| {
            draw(&format!(
                r##"<text x="2" y="14" font-family="{family}">αβ 1,2</text>"##
            ))
        };
        assert_ne!(text("DejaVu Sans"), empty);
        assert_eq!(text("DejaVu Sans"), text("Helvetica, sans-serif"));
    }

    #[test]
    fn size_follows_width_and_scale() {
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"/>"##;
        assert_eq!(
            render(&json!({ "svg": svg, "scale": 2 })).unwrap().json["width"],
            120
        );
        assert_eq!(
            render(&json!({ "svg": svg, "width": 30 })).unwrap().json["height"],
            10
        );
        let error = render(&json!({ "svg": svg, "scale": 1e6 })).unwrap_err();
        assert!(error.contains("each side is 1 to 16384"), "{error}");
        assert!(render(&json!({ "svg": svg, "scale": 0 })).is_err());
    }

    #[test]
    fn a_wrong_svg_is_an_error() {
        assert!(
            render(&json!({ "svg": "<svg" }))
                .unwrap_err()
                .contains("not valid")
        );
        assert!(render(&json!({})).unwrap_err().contains("no svg"));
    }

    #[test]
    fn a_picture_opens_no_file() {
        let link = r##"<image href="/etc/passwd" width="10" height="10"/>"##;
        assert_eq!(draw(link), draw(""));
    }
}
