/* steps.comp: the steps of examples/pipeline/kernels.c in GLSL, compiled once for each with its name defined.
 *
 * An invocation makes one pixel, of HISTOGRAM counts one. Where in its object a buffer begins the descriptor says. */
#version 450
#extension GL_EXT_shader_8bit_storage : require

layout(local_size_x = 8, local_size_y = 8) in;
layout(push_constant) uniform picture { int width, height; }; /* that is read; of RECOLOUR: changed */

#ifdef HISTOGRAM
layout(binding = 0) buffer target { uint to[]; };
#else
layout(binding = 0) buffer target { uint8_t to[]; };
#endif
layout(binding = 1) readonly buffer source { uint8_t from[]; };

/* Beyond its edges a picture goes on as it ends. */
int at(int x, int y)
{
    return int(from[clamp(y, 0, height - 1) * width + clamp(x, 0, width - 1)]);
}

int pixel(int x, int y)
{
    int i = y * width + x;
#if defined(GREY)
    return (299 * int(from[3 * i]) + 587 * int(from[3 * i + 1]) + 114 * int(from[3 * i + 2]) + 500) / 1000;
#elif defined(BLUR)
    int sum = 8;
    for (int down = -1; down <= 1; down++)
        for (int right = -1; right <= 1; right++)
            sum += at(x + right, y + down) << (2 - abs(right) - abs(down));
    return sum / 16;
#elif defined(SOBEL)
    int across = 0, down = 0;
    for (int j = -1; j <= 1; j++) {
        across += (2 - abs(j)) * (at(x + 1, y + j) - at(x - 1, y + j));
        down += (2 - abs(j)) * (at(x + j, y + 1) - at(x + j, y - 1));
    }
    return min(abs(across) + abs(down), 255);
#elif defined(HALVE)
    int columns = min(width - 2 * x, 2), rows = min(height - 2 * y, 2), sum = columns * rows / 2;
    for (int j = 0; j < columns * rows; j++)
        sum += at(2 * x + j % columns, 2 * y + j / columns);
    return sum / (columns * rows);
#elif defined(RECOLOUR)
    return int(from[int(to[i])]);
#else
    return 0;
#endif
}

void main()
{
    int x = int(gl_GlobalInvocationID.x), y = int(gl_GlobalInvocationID.y);
#ifdef HALVE
    ivec2 size = (ivec2(width, height) + 1) / 2;
#else
    ivec2 size = ivec2(width, height);
#endif
    if (x >= size.x || y >= size.y)
        return;
#ifdef HISTOGRAM
    atomicAdd(to[int(from[y * width + x])], 1u); /* they are 0 before */
#else
    to[y * size.x + x] = uint8_t(pixel(x, y));
#endif
}
