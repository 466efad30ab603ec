/* pmr.cpp: the C++ face: containers on a manager's memory, a buffer that cleans up, accesses as scopes. */
#include <dcmem/dcmem.hpp>

#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

static void
run()
{
    dcmem::manager manager; // the CPU
    dcmem::memory_resource resource(manager);

    std::pmr::vector<std::pmr::string> names(&resource);
    for (int i = 0; i < 1000; i++)
        names.emplace_back("a string that is too long to lie within itself, number " + std::to_string(i));

    dcmem::buffer numbers = dcmem::buffer::of<int>(manager, 1000);
    {
        auto access = numbers.view<int>().write(); // the host's side, until the end of the scope
        std::iota(access.begin(), access.end(), 0);
    }
    auto access = numbers.view<int>().slice(0, 100).read();
    std::printf("%zu strings, sum of the first 100 numbers %d\n", names.size(),
                std::accumulate(access.begin(), access.end(), 0));
}

int
main()
{
    try {
        run();
        return 0;
    } catch (const dcmem::error &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
