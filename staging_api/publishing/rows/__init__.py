"""The rows of the publisher: every statement that reads or writes them."""

from staging_api.publishing.rows.apt_archives import (
    add_apt_archive,
    add_suite,
    apt_archive_names,
    change_apt_archive,
    change_suite,
    expiring_apt_archives,
    find_apt_archive,
    lift,
    lift_for,
    mark_dirty,
    suites_with_work,
    validity_left,
)
from staging_api.publishing.rows.domination import (
    all_to_dominate,
    changed_to_dominate,
    has_ended,
    supersede,
)
from staging_api.publishing.rows.generations import (
    NewGeneration,
    SeenMarks,
    begin_generation,
    find_distribution,
    find_generation,
    go_live,
    list_generations,
    overdue,
    reap_generations,
    set_pin,
    settle,
)
from staging_api.publishing.rows.holds import contents_of, hold_suites, settle_lifted
from staging_api.publishing.rows.indices import (
    add_blocks,
    drop_unkept,
    drop_unnamed,
    index_files_of,
    known_blocks,
    layout,
    layout_name,
    pieces,
    releases_of,
)
from staging_api.publishing.rows.packages import (
    delete_package_publication,
    files_to_publish,
    has_installer,
    hold_back,
    list_package_publications,
    listed_binaries,
    listed_sources,
    publish,
    renew_statistics,
    source_files_of,
    unlisted,
)
from staging_api.publishing.rows.pool import (
    files_in_the_way,
    remove_condemned,
    remove_given_up,
    remove_unused_files,
)
from staging_api.publishing.rows.runs import (
    abandon_generations,
    add_hook_run,
    begin_run,
    check_steps,
    commit_asynchronously,
    count_step,
    enter_phases,
    find_run,
    finish_run,
    list_runs,
    note_progress,
    run_of_lock,
    seconds_left,
)
from staging_api.publishing.rows.serving import (
    StaleRelease,
    by_hash,
    dists_list,
    index_at,
    keep_lasting,
    lasting_releases,
    pool_file_at,
    pool_list,
    release_at,
    stale_release,
)
from staging_api.publishing.rows.uploads import (
    accept,
    accepted_uploads,
    add_binaries,
    add_files,
    add_source,
    add_uploads,
    decide,
    files_at,
    find_source,
    find_upload,
    known_packages,
    list_uploads,
    newer_versions,
    note_upload,
)
