"""How archives are unpacked: one function per form, all under the same limits."""
