"""Workers are forked by the library's own daemon: no task reads the listings of archives again."""


def test_a_worker_forgets_archives_between_tasks(spark):
    def looked_into(_):
        import sys
        from zipimport import zipimporter

        archives = [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]
        return archives, "adaptor.spark.daemon" in sys.orig_argv

    for _ in range(3):  # what the first tasks import may come from archives
        found = spark.sparkContext.parallelize(range(4), 4).map(looked_into).collect()
    assert found == [([], True)] * 4
