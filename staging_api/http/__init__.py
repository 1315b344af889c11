"""Everything Falcon: routes, middleware, answers; the rest of the service does not know HTTP."""
