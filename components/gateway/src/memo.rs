//! What an instance remembers from one call to the next: what it made of something, for as long as that is the same.
//! An instance that remembers nothing comes to the same.

use std::cell::RefCell;
use std::rc::Rc;

#[derive(Debug)]
pub struct Memo<K, T>(RefCell<Option<(K, Rc<T>)>>);

impl<K: PartialEq, T> Memo<K, T> {
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// What was made of this, made now if it was not.
    pub fn get<E>(&self, of: K, make: impl FnOnce(&K) -> Result<T, E>) -> Result<Rc<T>, E> {
        if let Some((known, made)) = &*self.0.borrow()
            && *known == of
        {
            return Ok(Rc::clone(made));
        }
        let made = Rc::new(make(&of)?);
        self.0.replace(Some((of, Rc::clone(&made))));
        Ok(made)
    }
}
