//! What holds for the sources as a whole and no compiler checks: the arrows between the rooms, who may hold which library, the size of
//! files, the map in ARCHITECTURE.md, the lists in docs/reference.md. Every message says what to do.

#[cfg(test)]
mod map;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod tree;
