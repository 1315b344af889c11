"""Configuration documents: read, rendered, validated, redacted, compared.

The modules here are pure: values in, values out. They use no database and no HTTP, so that the
service and the offline command line give the same results::

    documents = load_documents(posted_bytes, collection="site")     # text: DocumentsInvalid
    rendering = render(documents, previous=None)                    # rendering: RenderingFailed
    findings = validate(rendering)                                  # validation: never raises
    text = dump(redacted(each) for each in rendering.documents)     # redaction, text
    origins = why(rendering, schema, name, path)                    # provenance
    changes = compare(old_documents, new_documents)                 # differences
"""
