-- Comments of columns, as the tables have them from this step on.
COMMENT ON COLUMN components.position IS 'order in Release: 0, 1, 2 ...';
COMMENT ON COLUMN document_commits.fence IS 'fence of the grant in lock_id: rises with each one';
COMMENT ON COLUMN document_events.fence IS 'fence of the grant in lock_id: rises with each one';
COMMENT ON COLUMN document_revisions.fence IS 'fence of the grant in lock_id: rises with each one';
COMMENT ON COLUMN document_tags.fence IS 'fence of the grant in lock_id: rises with each one';
COMMENT ON COLUMN index_files.layout IS 'its blocks: digest of their digests';
COMMENT ON COLUMN lock_scopes.kind IS 'kind of the lock';
COMMENT ON COLUMN publisher_runs.fence IS 'fence of the grant in lock_id; guards its writes';
COMMENT ON COLUMN publisher_runs.items_done IS 'how far its phase is';
COMMENT ON COLUMN publisher_runs.items_total IS 'what its phase has to do; null: not known';
COMMENT ON COLUMN stagings.events_count IS 'number of its events';
COMMENT ON COLUMN stagings.version IS 'rises with every change';
COMMENT ON COLUMN store_reservations.fence IS 'fence of the grant in lock_id: rises with each one';
COMMENT ON COLUMN suite_holds.content_number IS 'number of the generation that showed them first';
