//! A set of tokens in order: most are tiny, a few are huge.
//!
//! An object has one lock, a session has a handful, a floor may have a hundred thousand. The tiny ones live without
//! an allocation of their own, the huge ones stay logarithmic.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::Token;

/// From this size on a set becomes a tree.
const FEW_MAX: usize = 32;

/// Tokens in ascending order.
#[derive(Clone, Debug)]
pub(crate) enum TokenSet {
    Few(SmallVec<[Token; 2]>),
    Many(BTreeSet<Token>),
}

impl Default for TokenSet {
    fn default() -> Self {
        TokenSet::Few(SmallVec::new())
    }
}

impl TokenSet {
    pub(crate) fn len(&self) -> usize {
        match self {
            TokenSet::Few(few) => few.len(),
            TokenSet::Many(many) => many.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn contains(&self, token: Token) -> bool {
        match self {
            TokenSet::Few(few) => few.contains(&token),
            TokenSet::Many(many) => many.contains(&token),
        }
    }

    /// Answers whether the token is new here.
    pub(crate) fn insert(&mut self, token: Token) -> bool {
        match self {
            TokenSet::Few(few) => {
                // Tokens grow, so the place is nearly always the end.
                let Err(at) = few.binary_search(&token) else {
                    return false;
                };
                few.insert(at, token);
                if few.len() > FEW_MAX {
                    *self = TokenSet::Many(few.drain(..).collect());
                }
                true
            }
            TokenSet::Many(many) => many.insert(token),
        }
    }

    /// Answers whether the token was here.
    pub(crate) fn remove(&mut self, token: Token) -> bool {
        match self {
            TokenSet::Few(few) => match few.binary_search(&token) {
                Ok(at) => {
                    few.remove(at);
                    true
                }
                Err(_) => false,
            },
            TokenSet::Many(many) => {
                let was_here = many.remove(&token);
                if many.is_empty() {
                    *self = TokenSet::default();
                }
                was_here
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Token> {
        let (few, many) = match self {
            TokenSet::Few(few) => (Some(few.iter()), None),
            TokenSet::Many(many) => (None, Some(many.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_same_set_at_every_size() {
        let mut set = TokenSet::default();
        for n in (0..100).rev() {
            set.insert(Token(n));
            set.insert(Token(n));
        }
        assert!(set.iter().map(|t| t.0).eq(0..100));
        for n in 0..100 {
            assert!(set.contains(Token(n)));
            set.remove(Token(n));
            assert_eq!((set.len(), set.contains(Token(n))), (99 - n as usize, false));
        }
        assert!(set.is_empty() && matches!(set, TokenSet::Few(_)));
    }
}
