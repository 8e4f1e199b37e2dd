"""The page: everything that the command line does, in a browser on this machine. A face beside `cli` and `lesson`.

It holds nothing that matters: it reads run folders and calls the api, so that a closed page or a killed server loses nothing.
"""
