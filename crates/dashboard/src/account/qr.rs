//! A text as a picture for a telephone's camera.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// The light border that readers need (ISO/IEC 18004), in modules.
const QUIET: i32 = 4;

/// The picture as SVG, dark on light in every theme; empty for a text that is too long.
pub(super) fn svg(text: &str) -> String {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return String::new() };
    let (size, all) = (code.size(), code.size() + 2 * QUIET);
    let mut path = String::new();
    for y in 0..size {
        for x in (0..size).filter(|x| code.get_module(*x, y)) {
            // Writing to a String cannot fail.
            let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"The same as a QR code\" viewBox=\"0 0 {all} {all}\" \
         shape-rendering=\"crispEdges\"><rect width=\"{all}\" height=\"{all}\" fill=\"#fff\"/><path fill=\"#000\" \
         d=\"{path}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_numbers_alone_and_its_border() {
        let picture = svg("otpauth://totp/x?secret=<b>");
        assert!(picture.starts_with("<svg class=\"qr\"") && !picture.contains("<b>") && !picture.contains("style="));
        assert!(picture.contains("M4 4h1v1h-1z"), "the first corner is behind the border");
        assert_eq!(svg(&"x".repeat(10_000)), "");
    }
}
