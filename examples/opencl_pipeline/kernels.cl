/* kernels.cl: the steps of examples/pipeline/kernels.c as kernels, and one that makes the table of the contrast.
 *
 * A work item makes one pixel, of histogram counts one; stretch is one work item. Several buffers of dcmem's may lie in
 * one object, so each kernel is told at which byte of it a buffer begins. */

uchar
at(global const uchar *pixels, int width, int height, int x, int y)
{
    return pixels[(size_t)clamp(y, 0, height - 1) * width + clamp(x, 0, width - 1)];
}

kernel void
grey(global uchar *to, ulong to_offset, global const uchar *from, ulong from_offset, int width, int height)
{
    size_t pixel = get_global_id(1) * width + get_global_id(0);
    global const uchar *colour = from + from_offset + 3 * pixel;
    to[to_offset + pixel] = (299 * colour[0] + 587 * colour[1] + 114 * colour[2] + 500) / 1000;
}

kernel void
blur(global uchar *to, ulong to_offset, global const uchar *from, ulong from_offset, int width, int height)
{
    int x = get_global_id(0), y = get_global_id(1), sum = 8;
    for (int down = -1; down <= 1; down++)
        for (int right = -1; right <= 1; right++)
            sum += at(from + from_offset, width, height, x + right, y + down) << (2 - abs(right) - abs(down));
    to[to_offset + (size_t)y * width + x] = sum / 16;
}

kernel void
sobel(global uchar *to, ulong to_offset, global const uchar *from, ulong from_offset, int width, int height)
{
    int x = get_global_id(0), y = get_global_id(1), across = 0, down = 0;
    for (int i = -1; i <= 1; i++) {
        int weight = 2 - abs(i);
        across += weight * at(from + from_offset, width, height, x + 1, y + i);
        across -= weight * at(from + from_offset, width, height, x - 1, y + i);
        down += weight * at(from + from_offset, width, height, x + i, y + 1);
        down -= weight * at(from + from_offset, width, height, x + i, y - 1);
    }
    to[to_offset + (size_t)y * width + x] = min(abs(across) + abs(down), 255u);
}

/* The work items are those of the smaller picture. */
kernel void
halve(global uchar *to, ulong to_offset, global const uchar *from, ulong from_offset, int width, int height)
{
    int x = get_global_id(0), y = get_global_id(1);
    int columns = min(width - 2 * x, 2), rows = min(height - 2 * y, 2), sum = columns * rows / 2;
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++)
            sum += at(from + from_offset, width, height, 2 * x + column, 2 * y + row);
    to[to_offset + (size_t)y * get_global_size(0) + x] = sum / (columns * rows);
}

/* The counts are 0 before. */
kernel void
histogram(global uchar *to, ulong to_offset, global const uchar *from, ulong from_offset, int width, int height)
{
    global uint *counts = (global uint *)(to + to_offset);
    atomic_inc(&counts[from[from_offset + get_global_id(1) * width + get_global_id(0)]]);
}

/* From the darkest value that occurs to the brightest becomes from black to white. */
kernel void
stretch(global uchar *to, ulong to_offset, global const uchar *from, ulong from_offset, int width, int height)
{
    global const uint *counts = (global const uint *)(from + from_offset);
    uint low = 0, high = 255;
    while (low < high && counts[low] == 0)
        low++;
    while (high > low && counts[high] == 0)
        high--;
    for (uint i = 0; i < 256; i++)
        to[to_offset + i] = low == high ? i : (clamp(i, low, high) - low) * 255 / (high - low);
}

kernel void
recolour(global uchar *to, ulong to_offset, global const uchar *from, ulong from_offset, int width, int height)
{
    size_t pixel = to_offset + get_global_id(1) * width + get_global_id(0);
    to[pixel] = from[from_offset + to[pixel]];
}
