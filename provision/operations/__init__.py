"""Operations on an existing environment."""
