"""Random Debian versions for property tests."""

from hypothesis import strategies as st

# Few letters, so that two versions often share a beginning, where the order is subtle.
_PART = st.text("0019azB.+~", max_size=10)
VERSIONS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "0:", "1:", "01:", "10:"]),
    st.integers(0, 2),
    st.one_of(_PART, st.builds("{}-{}".format, _PART, _PART)),
    st.sampled_from(["", "-0", "-1", "-1~a", "-a", "-00+1"]),
).filter(lambda text: not text.endswith("-"))
