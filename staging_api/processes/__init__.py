"""The processes of a deployment: what each is made of, how it starts, serves and ends."""
