"""A module a page: read the request, call the api, hand values to a template.

No file is read or written here but through the api.
"""
