-- The words of the lock's tables. Domains, not CHECKs of a table: PostgreSQL parses those anew for
-- each statement that writes a row, at some 5 us a piece, and the lock writes four rows a cycle.
CREATE DOMAIN ulid AS text COLLATE "C" CHECK (VALUE ~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$');
CREATE DOMAIN lock_scope AS text CHECK (octet_length(VALUE) <= 2000);  -- what an index can hold
CREATE DOMAIN lock_outcome AS text
    CHECK (VALUE IN ('released', 'expired', 'broken', 'superseded'));
