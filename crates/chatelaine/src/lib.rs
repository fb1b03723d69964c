//! chatelaine
