-- Which sources outside the present allow-list were ever used?
SELECT split_part(archive_url, '/', 1) || '//' || split_part(archive_url, '/', 3) AS source,
    count(*) AS archives, min(created_at) AS first_used_at, max(created_at) AS last_used_at
FROM archives
WHERE NOT archive_url ^@ ANY (CAST(:allowed AS text[]))
GROUP BY 1 ORDER BY 1;
