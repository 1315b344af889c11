"""Mutants of the lock without observable effect: original line, changed line, and reason."""

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "WHERE s.kind = p_seen.kind AND s.scope = p_seen.scope",
        "WHERE s.kind = p_seen.kind AND true",
    ): "lock_id and fence are compared too, and no id is granted on two scopes",
    (
        "AND s.fence = v_seen.fence",
        "AND true",
    ): "then the row was granted and freed meanwhile: it is as free as when it was read",
    (
        "AND s.lock_id IS NOT DISTINCT FROM v_seen.lock_id",
        "AND true",
    ): "with the same fence and time: an expiry was written down meanwhile, and stays one",
}
