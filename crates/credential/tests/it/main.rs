//! Credentials against independent implementations, published vectors and arbitrary bytes.
